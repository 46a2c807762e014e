"""Layout of HeaderBlock, the prepared header fields of many messages."""

from adapters.http2.nghttp2 cimport nghttp2_hd_deflater, nghttp2_nv


cdef enum:
    MAX_FIELDS = 32
    # Far below the 16,384 bytes that any peer takes in one frame.
    MAX_BLOCK = 8192
    # How large HPACK's table is at first, and how large libnghttp2 lets it become at most.
    TABLE_BYTES = 4096

cdef class Deflater:
    cdef nghttp2_hd_deflater *raw

    cdef bytes encode(self, const nghttp2_nv *fields, size_t count)

cdef class HeaderBlock:
    cdef nghttp2_nv fields[MAX_FIELDS]
    cdef readonly int count
    cdef readonly int pseudo_count
    cdef readonly tuple pairs
    cdef readonly frozenset sensitive
    # What a client's requests begin with, encoded: see encode().
    cdef nghttp2_nv method
    cdef bytes method_alone
    cdef tuple first
    cdef tuple again
    cdef tuple bare
    cdef size_t table_bytes

    cdef int encode(self) except -1
    cdef tuple halves(self, Deflater deflater, nghttp2_nv *fields)

cdef int point_field(nghttp2_nv *field, bytes name, bytes value, int flags) except -1
cdef bytes encode_name(bytes name)
