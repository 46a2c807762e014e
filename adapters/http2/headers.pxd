"""Layout of HeaderBlock, the prepared header fields of many messages."""

from adapters.http2.nghttp2 cimport nghttp2_nv


cdef enum:
    MAX_FIELDS = 32

cdef class HeaderBlock:
    cdef nghttp2_nv fields[MAX_FIELDS]
    cdef readonly int count
    cdef readonly int pseudo_count
    cdef readonly tuple pairs
    cdef readonly frozenset sensitive

cdef int point_field(nghttp2_nv *field, bytes name, bytes value, int flags) except -1
