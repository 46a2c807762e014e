"""Layout of a payload while it is being written."""

from libc.stdint cimport uint8_t


cdef enum:
    ROOM = 4096

cdef struct Text:
    uint8_t at[ROOM]
    Py_ssize_t size
    bint full
