"""Layout of ClientSession, the client's half of one HTTP/2 connection."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from adapters.http2.blob cimport Blob
from adapters.http2.exchange cimport Exchange
from adapters.http2.nghttp2 cimport nghttp2_frame, nghttp2_session
from adapters.http2.request_writer cimport RequestWriter


cdef enum:
    MAX_WANTED = 16

cdef class ClientSession:
    cdef nghttp2_session *raw
    cdef Blob out
    cdef RequestWriter writer
    cdef object owner
    cdef tuple wanted
    cdef const unsigned char *wanted_names[MAX_WANTED]
    cdef size_t wanted_sizes[MAX_WANTED]
    cdef list finished
    cdef void *first
    cdef void *last
    cdef int32_t recent_id
    cdef void *recent
    cdef int unsent
    cdef int limit
    cdef int broken
    cdef bint cautious
    cdef readonly int live
    cdef readonly bint settings_received
    cdef readonly bint goaway_received
    cdef readonly int32_t goaway_last_id
    cdef readonly uint32_t goaway_code
    cdef readonly bytes goaway_debug
    cdef readonly uint64_t pings_answered
    cdef readonly uint64_t bytes_in
    cdef readonly uint64_t bytes_out

    cdef int free_streams(self) noexcept
    cdef int open(self, Exchange exchange, int64_t now_ns) noexcept
    cdef int pump(self) noexcept
    cdef int write_request(self, const uint8_t *frame, ssize_t size) noexcept
    cdef void finish(self, Exchange exchange, int ending)
    cdef void link(self, Exchange exchange) noexcept
    cdef void unlink(self, Exchange exchange) noexcept
    cdef void abandon(self, Exchange exchange, int ending)
    cdef void *find(self, int32_t stream_id) noexcept
    cdef int take_field(self, int32_t stream_id, const unsigned char *name, size_t name_size,
                        const unsigned char *value, size_t value_size) noexcept
    cdef void take_goaway(self, const nghttp2_frame *frame)
