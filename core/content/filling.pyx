"""What every message pays for: its values taken and checked, put into the gaps of texts, and joined."""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport PyObject
from libc.stdint cimport INT64_MIN, uint8_t

from core.content.amounts cimport AmountWriter

from core.content.limits import MAX_TEXT_BYTES
from core.content.money import is_currency
from core.content.templates import SOURCES, VariableType
from core.content.values import MissingValue, WrongValue
from core.values import Money

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const uint8_t *PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    object PyUnicode_Join(object separator, object parts)

cdef Py_ssize_t LONGEST_TEXT = MAX_TEXT_BYTES
cdef Py_ssize_t SOURCE_COUNT = len(SOURCES)
cdef int TEXT = VariableType.TEXT
cdef int INTEGER = VariableType.INTEGER
cdef int MONEY = VariableType.MONEY
cdef object MoneyType = Money


@cython.final
cdef class Binder:

    def __cinit__(self, tuple inputs not None):
        if len(inputs) > MAX_INPUTS:
            raise ValueError(f"more than {MAX_INPUTS} inputs")
        self._inputs = tuple([tuple(one) for one in inputs])
        self._count = len(inputs)
        for place, one in enumerate(inputs):
            self._sources[place] = one.source
            self._types[place] = 0 if one.type is None else one.type
            if not 0 <= one.source < SOURCE_COUNT:
                raise ValueError("an input comes from no source")

    def bind(self, values not None, str currency not None):
        cdef Py_ssize_t place
        cdef list bound = [None] * self._count
        cdef tuple one
        cdef object value
        for place in range(self._count):
            one = <tuple>self._inputs[place]
            value = lookup(values[self._sources[place]], one[KEY])
            if value is None:
                value = one[DEFAULT]
                if value is None:
                    if one[REQUIRED]:
                        raise MissingValue(one[NAME])
                    continue
            if not is_plain(value, self._types[place]):
                value = checked(value, one, currency)
            bound[place] = value
        return bound


cdef inline object lookup(object mapping, object key):
    cdef PyObject *found
    if type(mapping) is not dict:
        return mapping.get(key)
    found = PyDict_GetItemWithError(mapping, key)
    return None if found is NULL else <object>found


cdef object checked(object value, tuple one, str currency):
    try:
        return one[READ](value, currency)
    except WrongValue as exc:
        raise WrongValue(f"{one[NAME]} {exc}") from None


cdef bint is_plain(object value, int kind) except -1:
    """Tell whether a value is what its type asks for at first sight; what is not goes through the type's reader."""
    if kind == TEXT:
        return type(value) is str and is_plain_text(value)
    if kind == INTEGER:
        return fits(value)
    if kind == MONEY:
        return type(value) is MoneyType and fits(value[0]) and is_currency(value[1])
    return False


cdef bint fits(object number) except -1:
    """Tell whether this is a whole number whose absolute value fits 63 bits."""
    cdef int overflow = 0
    if type(number) is not int:
        return False
    return PyLong_AsLongLongAndOverflow(number, &overflow) != INT64_MIN and overflow == 0


cdef bint is_plain_text(object text):
    """Tell whether a text is printable ASCII of a length that is allowed."""
    cdef const uint8_t *data
    cdef Py_ssize_t at, length = PyUnicode_GET_LENGTH(text)
    if length > LONGEST_TEXT or not PyUnicode_IS_COMPACT_ASCII(text):
        return False
    data = PyUnicode_1BYTE_DATA(text)
    for at in range(length):
        if data[at] < 0x20 or data[at] == 0x7F:
            return False
    return True


@cython.final
cdef class Filler:

    def __cinit__(self, list parts not None, list gaps not None, list branches not None):
        self._parts, self._branches = parts, tuple(branches)
        self._count = len(gaps)
        self._gaps = <Gap *>PyMem_Malloc(max(self._count, 1) * sizeof(Gap))
        if self._gaps is NULL:
            raise MemoryError
        writers = []
        for number, (place, index, how, writer) in enumerate(gaps):
            if not 0 <= place < len(parts) or index < 0:
                raise ValueError("a gap lies outside of its text")
            if how == AMOUNT and type(writer) is not AmountWriter:
                raise TypeError("an amount is written by an AmountWriter")
            self._gaps[number] = Gap(place, index, how)
            writers.append(writer)
        self._writers = tuple(writers)

    def __dealloc__(self):
        PyMem_Free(self._gaps)

    def __call__(self, list bound not None):
        return self.fill(bound)

    cdef str fill(self, list bound):
        cdef list texts = self._parts[:]
        cdef Gap *gap
        cdef Py_ssize_t number
        cdef object value, write
        for number in range(self._count):
            gap = &self._gaps[number]
            if gap.index >= len(bound):
                raise IndexError("fewer values than gaps")
            value = bound[gap.index]
            if gap.how == AMOUNT:
                texts[gap.place] = (<AmountWriter>self._writers[number]).write(value)
            elif gap.how == WRITTEN or (gap.how == ITSELF_IF_ASCII and not is_ascii(value)):
                texts[gap.place] = self._writers[number](value)
            else:
                texts[gap.place] = value
        for place, write in self._branches:
            texts[place] = write(bound)
        return PyUnicode_Join("", texts)


cdef inline bint is_ascii(object value):
    return type(value) is str and PyUnicode_IS_COMPACT_ASCII(value)
