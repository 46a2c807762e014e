"""Amounts of money written digit by digit, in formats that Babel was asked for once."""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint64_t

cdef extern from "Python.h":
    enum: PyUnicode_4BYTE_KIND
    object PyUnicode_FromKindAndData(int kind, const void *buffer, Py_ssize_t size)


cdef Affix affix(str text) except *:
    cdef Affix made
    cdef Py_ssize_t at
    if len(text) > MAX_AFFIX:
        raise ValueError(f"more than {MAX_AFFIX} characters beside an amount")
    made.length = <int>len(text)
    for at in range(made.length):
        made.chars[at] = text[at]
    return made


cdef inline int put(Py_UCS4 *chars, int end, const Affix *part) noexcept nogil:
    """Put a part in front of what begins at `end`; return the new beginning."""
    cdef int at
    end -= part.length
    for at in range(part.length):
        chars[end + at] = part.chars[at]
    return end


@cython.final
cdef class AmountFormat:

    def __cinit__(
        self, tuple affixes not None, str point not None, str separator not None, tuple grouping not None, int digits,
        bint short,
    ):
        if not 0 <= digits <= MAX_DIGITS or grouping[0] < 1 or grouping[1] < 1:
            raise ValueError("digits are 0 to 4, groups have at least one")
        self._before_plus, self._after_plus = affix(affixes[0]), affix(affixes[1])
        self._before_minus, self._after_minus = affix(affixes[2]), affix(affixes[3])
        self._point, self._separator = affix(point), affix(separator)
        if self._point.length > 1 or self._separator.length > 1:
            raise ValueError("a sign within an amount is one character")
        self._first, self._other = grouping
        self._digits, self._short = digits, short
        self._scale = <uint64_t>10 ** digits

    def text(self, minor_units not None):
        return self.write(minor_units)

    cdef str write(self, object minor_units):
        cdef int64_t signed = minor_units
        cdef bint minus = signed < 0
        cdef uint64_t amount = <uint64_t>0 - <uint64_t>signed if minus else <uint64_t>signed
        cdef uint64_t whole = amount // self._scale, rest = amount % self._scale
        cdef Py_UCS4 chars[MAX_AMOUNT]
        cdef int at = put(chars, MAX_AMOUNT, &self._after_minus if minus else &self._after_plus)
        cdef int group = self._first, digit
        if self._digits and not (self._short and rest == 0):
            for digit in range(self._digits):
                at -= 1
                chars[at] = <Py_UCS4>(c"0" + rest % 10)
                rest //= 10
            at = put(chars, at, &self._point)
        digit = 0
        while True:
            if digit == group:
                at = put(chars, at, &self._separator)
                group, digit = self._other, 0
            at -= 1
            chars[at] = <Py_UCS4>(c"0" + whole % 10)
            whole //= 10
            digit += 1
            if whole == 0:
                break
        at = put(chars, at, &self._before_minus if minus else &self._before_plus)
        return PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, &chars[at], MAX_AMOUNT - at)


@cython.final
cdef class AmountWriter:

    def __cinit__(self, format_of not None):
        self._format_of = format_of
        # One entry for each currency that CLDR knows, at most.
        self._formats = {}

    def __call__(self, money not None):
        return self.write(money)

    cdef str write(self, object money):
        cdef object minor_units = money[0], currency = money[1]
        cdef PyObject *found = PyDict_GetItemWithError(self._formats, currency)
        if found is NULL:
            self._formats[currency] = self._format_of(currency)
            return (<AmountFormat?>self._formats[currency]).write(minor_units)
        return (<AmountFormat>found).write(minor_units)
