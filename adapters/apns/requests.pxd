"""Layout of the batch of requests that is being made."""

from adapters.http2.headers cimport HeaderBlock
from core.delivery cimport Delivery, Notification


cdef class Requests:
    cdef object _token
    cdef object _shape
    cdef HeaderBlock _head
    cdef readonly list exchanges
    cdef readonly list malformed

    cdef int add(self, Delivery delivery) except -1
    cdef int take_shape(self, shape) except -1
