"""What other Cython modules may use of push_id."""

from libc.stdint cimport uint64_t

cdef bytes write_id(bytes notification_id, uint64_t device_key)
