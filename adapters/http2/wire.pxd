"""Moving bytes between an nghttp2 session and Python, the same for both sides of a connection."""

from libc.stdint cimport uint8_t
from adapters.http2.blob cimport Blob, blob_append
from adapters.http2.nghttp2 cimport nghttp2_nv, nghttp2_session, nghttp2_session_mem_send


cdef inline int pump(nghttp2_session *session, Blob *out) noexcept:
    """Serialise everything that may be sent now behind `out`; return 0 or nghttp2's error."""
    cdef const uint8_t *frame = NULL
    cdef ssize_t size = nghttp2_session_mem_send(session, &frame)
    while size > 0:
        if blob_append(out, frame, <unsigned int> size):
            return -901
        size = nghttp2_session_mem_send(session, &frame)
    return <int> size
