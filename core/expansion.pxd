"""Layout of what lies between accepted notifications and their deliveries."""

from core.delivery cimport Notification


cdef class Expansion:
    cdef list _notifications
    cdef list _targets
    cdef readonly Py_ssize_t taken


cdef class Stride:
    cdef list _notifications
    cdef list _targets
    cdef list _lanes
    cdef list _places
    cdef readonly dict wanted

    cdef int find_lanes(self, lane_of) except -1
    cdef Py_ssize_t place(self, Notification notification, number) except -1
