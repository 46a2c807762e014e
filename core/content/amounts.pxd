"""Layout of formats of money; `write` is how other Cython calls a writer."""

from libc.stdint cimport uint64_t


cdef enum:
    # Longer affixes or signs than any in CLDR.
    MAX_AFFIX = 24
    # 20 digits, as many separators, a point, two affixes.
    MAX_AMOUNT = 96
    MAX_DIGITS = 4


cdef struct Affix:
    Py_UCS4 chars[MAX_AFFIX]
    int length


cdef class AmountFormat:
    cdef Affix _before_plus, _after_plus, _before_minus, _after_minus, _point, _separator
    cdef int _first, _other, _digits
    cdef uint64_t _scale
    cdef bint _short

    cdef str write(self, object minor_units)


cdef class AmountWriter:
    cdef object _format_of
    cdef dict _formats

    cdef str write(self, object money)
