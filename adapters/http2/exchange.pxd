"""Layout of Exchange, one request and its answer."""

from libc.stdint cimport int32_t, int64_t, uint32_t

from adapters.http2.blob cimport Blob
from adapters.http2.headers cimport HeaderBlock
from adapters.http2.nghttp2 cimport nghttp2_nv


cdef enum:
    MAX_EXTRA = 32
    BODY_CAP = 16384

cdef enum:
    PENDING = 0
    ANSWERED = 1
    NOT_SENT = 2
    UNKNOWN = 3
    TIMED_OUT = 4

cdef class Exchange:
    cdef readonly HeaderBlock head
    cdef readonly bytes path
    cdef readonly tuple extra
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
    cdef Blob fields
    cdef Blob content
    cdef tuple wanted
    # Neighbours in the session's list of live exchanges, which holds one reference to each member.
    cdef void *previous
    cdef void *next

    cdef int fill(self, nghttp2_nv *nva) noexcept
    cdef void clear_answer(self) noexcept
    cdef int keep_field(self, int index, const unsigned char *value, size_t size) noexcept
    cdef int keep_content(self, const unsigned char *data, size_t size) noexcept
