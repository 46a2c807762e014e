"""HPACK of fields that never enter the table, as inline C; the fields that do are libnghttp2's to encode.

Source: RFC 7541, https://www.rfc-editor.org/rfc/rfc7541
"""

from libc.stdint cimport uint8_t

from adapters.http2.blob cimport Blob, blob_append


cdef enum:
    # Without indexing, the name being entry 4 of the static table (":path"): sections 6.2.2 and appendix A.
    LITERAL_PATH = 0x04
    # Never indexed, the name a literal: section 6.2.3.
    LITERAL_SECRET = 0x10
    SIZE_UPDATE = 0x20


cdef inline int put_byte(Blob *out, uint8_t byte) noexcept nogil:
    return blob_append(out, &byte, 1)


cdef inline int put_length(Blob *out, size_t length) noexcept nogil:
    """Write a string's length: an integer of a prefix of 7 bits, Huffman coding off (sections 5.1 and 5.2)."""
    if length < 127:
        return put_byte(out, <uint8_t> length)
    if put_byte(out, 127):
        return -1
    length -= 127
    while length >= 128:
        if put_byte(out, <uint8_t> (length & 127 | 128)):
            return -1
        length >>= 7
    return put_byte(out, <uint8_t> length)


cdef inline int put_string(Blob *out, const void *text, size_t length) noexcept nogil:
    return put_length(out, length) or blob_append(out, text, length)
