"""Layout of rules, charges and batches."""

from libc.stdint cimport uint16_t, uint64_t

from core.bucket_table cimport BucketTable, Place, Slot


cdef enum:
    MAX_COLUMNS = 16
    PLACES = 128
    RECENT = 256

cdef enum:
    DENIED = 0
    GRANTED = 1
    MOVED = 2

cdef extern from *:
    """
    #define MAX_TOLERANCE_NS ((uint64_t)1 << 61)
    #define AHEAD 32
    """
    const uint64_t MAX_TOLERANCE_NS
    const Py_ssize_t AHEAD


cdef struct Rule:
    uint64_t interval_ns
    uint64_t tolerance_ns


cdef struct Charge:
    Slot *slot
    uint64_t key
    uint64_t since
    uint64_t tat
    uint64_t next


cdef struct Batch:
    const uint64_t *keys
    const uint16_t *rules
    Py_ssize_t end
    Place places[PLACES]
    Slot *recent[RECENT]


cdef class TokenBuckets(BucketTable):
    cdef Rule *_rules
    cdef Py_ssize_t _rule_count

    cdef uint64_t _decide(self, Batch *batch, Py_ssize_t at, Py_ssize_t k, uint64_t now_ns) noexcept nogil
    cdef uint64_t _look(self, Batch *batch, Charge *charge, Py_ssize_t at, uint64_t now_ns) noexcept nogil
    cdef uint64_t _charge(self, Batch *batch, Charge *charge, Py_ssize_t at, uint64_t now_ns) noexcept nogil
    cdef void _undo(self, Charge *charges, const uint16_t *rules, Py_ssize_t count) noexcept nogil
    cdef bint _read(self, Charge *charge) noexcept nogil
    cdef bint _swap(self, Charge *charge, uint64_t now_ns) noexcept nogil
    cdef int _advance(self, Charge *charge, const Rule *rule, uint64_t now_ns, uint64_t *until) noexcept nogil
    cdef bint _refund(self, Slot *slot, uint64_t key, uint64_t interval_ns, uint64_t since) noexcept nogil
    cdef void _prefetch(self, Batch *batch, Py_ssize_t at) noexcept nogil
