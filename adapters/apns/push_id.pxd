"""What other Cython modules may use of push_id."""

from libc.stdint cimport uint8_t, uint64_t


cdef enum:
    ID_BYTES = 36

cdef int write_id(bytes notification_id, uint64_t device_key, uint8_t *out) except -1
