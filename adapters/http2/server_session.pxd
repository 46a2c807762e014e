"""Layout of ServerSession, the server's half of one HTTP/2 connection, and of the requests it hands out."""

from libc.stdint cimport int32_t, uint32_t, uint64_t

from adapters.http2.blob cimport Blob
from adapters.http2.headers cimport HeaderBlock
from adapters.http2.nghttp2 cimport nghttp2_nv, nghttp2_session


cdef enum:
    REQUEST_BODY_CAP = 65536

cdef class CannedAnswer:
    cdef readonly HeaderBlock head
    cdef readonly bytes body

cdef class ServerRequest:
    cdef ServerSession session
    cdef readonly int32_t stream_id
    cdef readonly bint live
    cdef readonly bint complete
    cdef readonly uint64_t body_size
    cdef readonly bytes path
    cdef readonly bytes method
    cdef Blob fields
    cdef Blob content
    # What libnghttp2 points into until the answer is serialised.
    cdef HeaderBlock head
    cdef tuple extra
    cdef bytes answer
    cdef Py_ssize_t answer_sent

    cdef int keep_field(self, const unsigned char *name, size_t name_size,
                        const unsigned char *value, size_t value_size)
    cdef int fill(self, nghttp2_nv *nva, bytes status) except -1

cdef class ServerSession:
    cdef nghttp2_session *raw
    cdef Blob out
    cdef int broken
    cdef list complete
    cdef set open
    cdef tuple canned
    cdef Py_ssize_t next_canned
    cdef readonly object owner
    cdef readonly uint64_t received
    cdef readonly uint64_t bytes_in
    cdef readonly uint64_t bytes_out
    cdef readonly uint64_t pings_answered
    cdef readonly bint goaway_received

    cdef public bint awake
    cdef int32_t last_taken_id

    cdef int stir(self) except -1
    cdef int answer_canned(self, int32_t stream_id) noexcept
    cdef void take(self, ServerRequest request)
    cdef void begin(self, int32_t stream_id)
