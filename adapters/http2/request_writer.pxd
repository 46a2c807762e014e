"""Layout of RequestWriter, and what a frame's first bytes tell."""

from libc.stdint cimport int32_t, uint8_t, uint32_t

from adapters.http2.blob cimport Blob
from adapters.http2.exchange cimport Exchange
from adapters.http2.headers cimport HeaderBlock
from adapters.http2.nghttp2 cimport NGHTTP2_HEADERS


cdef enum:
    # RFC 9113 section 4.1: length, type, flags, stream id.
    FRAME_HEAD = 9

cdef class RequestWriter:
    # Whose fields are the newest in the peer's HPACK table.
    cdef HeaderBlock newest

    cdef int write(
        self, Blob *out, const uint8_t *frame, ssize_t size, Exchange exchange, uint32_t table_bytes) noexcept
    cdef tuple form_of(self, HeaderBlock head, uint32_t table_bytes)


cdef inline bint is_request(const uint8_t *frame, ssize_t size) noexcept nogil:
    return size > FRAME_HEAD and frame[3] == NGHTTP2_HEADERS


cdef inline int32_t stream_of(const uint8_t *frame) noexcept nogil:
    return (frame[5] & 0x7F) << 24 | frame[6] << 16 | frame[7] << 8 | frame[8]
