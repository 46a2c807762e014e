"""Layout of what takes values and fills them into texts."""

cdef enum:
    MAX_INPUTS = 512
    # Places in an Input.
    NAME = 0
    KEY = 2
    REQUIRED = 4
    DEFAULT = 5
    READ = 6


cpdef enum:
    # How a gap is filled.
    ITSELF = 0
    ITSELF_IF_ASCII = 1
    AMOUNT = 2
    WRITTEN = 3


cdef struct Gap:
    Py_ssize_t place
    Py_ssize_t index
    int how


cdef class Binder:
    cdef tuple _inputs
    cdef Py_ssize_t _count
    cdef int _sources[MAX_INPUTS]
    cdef int _types[MAX_INPUTS]


cdef class Filler:
    cdef list _parts
    cdef tuple _writers
    cdef tuple _branches
    cdef Gap *_gaps
    cdef Py_ssize_t _count

    cdef str fill(self, list bound)
