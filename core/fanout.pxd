"""The fan-out is the lanes and their Python face; it lays out nothing of its own."""

from core.lanes cimport Lanes


cdef class Fanout(Lanes):
    pass
