"""Layout of Exchange, one request and its answer."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from adapters.http2.blob cimport Blob
from adapters.http2.headers cimport HeaderBlock

cdef enum:
    MAX_EXTRA = 32
    # With a block as large, still far below the 16,384 bytes that any peer takes in one frame.
    MAX_OWN = 7168
    BODY_CAP = 16384

cdef enum:
    PENDING = 0
    ANSWERED = 1
    NOT_SENT = 2
    UNKNOWN = 3
    TIMED_OUT = 4

cdef class Exchange:
    cdef readonly HeaderBlock head
    cdef readonly bytes payload
    cdef public object tag
    cdef readonly object connection
    cdef readonly int status
    cdef readonly uint32_t error_code
    cdef readonly int32_t stream_id
    cdef readonly bint truncated
    cdef readonly bint sent
    cdef readonly bint live
    cdef int ending
    cdef int64_t submitted_ns
    cdef Py_ssize_t payload_sent
    # The encoded path and, from own_path on, the other fields of this request alone.
    cdef Blob own
    cdef uint32_t own_path
    cdef Blob fields
    cdef Blob content
    cdef tuple wanted
    # Neighbours in the session's list of live exchanges, which holds one reference to each member.
    cdef void *previous
    cdef void *next

    cdef int set_path(self, const uint8_t *start, size_t start_size, const uint8_t *rest, size_t rest_size) except -1
    cdef int add_field(self, bytes encoded_name, const uint8_t *value, size_t size) except -1
    cdef int add_literal(self, bytes name, bytes value) except -1
    cdef int reserve(self, size_t size) except -1
    cdef int write_head(self, Blob *out, tuple shared) noexcept
    cdef void clear_answer(self) noexcept
    cdef int keep_field(self, int index, const unsigned char *value, size_t size) noexcept
    cdef int keep_content(self, const unsigned char *data, size_t size) noexcept

cdef Exchange new_exchange(HeaderBlock head, bytes payload, object tag)
