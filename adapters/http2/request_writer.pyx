"""Requests with header fields that were encoded beforehand, in the frames that libnghttp2 makes for them.

Streams, flow control and frames are libnghttp2's, the HPACK of shared fields too, once per block. Per request it had spent
two thirds of its time on the Huffman code of the same token, which it never indexes.
"""

import cython
from libc.string cimport memcmp

from adapters.http2.blob cimport blob_append
from adapters.http2.headers cimport TABLE_BYTES


@cython.final
cdef class RequestWriter:
    """What the peer's HPACK table holds; it is ours to fill, as libnghttp2 sees no field that would go there."""

    cdef int write(
        self, Blob *out, const uint8_t *frame, ssize_t size, Exchange exchange, uint32_t table_bytes) noexcept:
        """Write a frame with the fields of its exchange in the place of ":method"; return -1 or 1 on failure.

        Changes of the table's size, with which libnghttp2 begins the block when the peer asked for one, stay in front.
        table_bytes: what the peer allows now.
        """
        cdef bytes method = exchange.head.method_alone
        cdef ssize_t updates = size - FRAME_HEAD - len(method)
        cdef uint32_t start = out.size, length
        if updates < 0 or memcmp(frame + size - len(method), <const uint8_t *> method, len(method)):
            return 1
        if updates:
            # What had been there may be gone.
            self.newest = None
        if blob_append(out, frame, <uint32_t> (FRAME_HEAD + updates)) \
                or exchange.write_head(out, self.form_of(exchange.head, table_bytes)):
            return -1
        length = out.size - start - FRAME_HEAD
        out.data[start], out.data[start + 1] = <uint8_t> (length >> 16), <uint8_t> (length >> 8)
        out.data[start + 2] = <uint8_t> length
        return 0

    cdef tuple form_of(self, HeaderBlock head, uint32_t table_bytes):
        """Choose how the shared fields are encoded, and note what that does to the peer's table."""
        if head is self.newest:
            return head.again
        if head.table_bytes > min(table_bytes, <uint32_t> TABLE_BYTES):
            return head.bare
        self.newest = head
        return head.first
