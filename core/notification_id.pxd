"""Limits of the parts that a notification id is made of."""

cdef enum:
    MAX_JOURNAL = 4095
    MAX_COUNT = 65536
