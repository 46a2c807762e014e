"""Header fields prepared once and shared by every message that begins with them."""

import cython

from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memcpy

from adapters.http2.nghttp2 cimport *

cdef enum:
    # RFC 7541 section 4.1
    ENTRY_BYTES = 32


cdef int point_field(nghttp2_nv *field, bytes name, bytes value, int flags) except -1:
    """Point a field at two byte strings that the caller keeps alive; raise ValueError if they are not legal on the wire."""
    cdef const unsigned char *raw_name = name
    cdef const unsigned char *raw_value = value
    if not nghttp2_check_header_name(raw_name, len(name)):
        raise ValueError(f"header name {name!r} is not a lower-case HTTP token")
    if not nghttp2_check_header_value(raw_value, len(value)):
        raise ValueError(f"value of header {name!r} has bytes that HTTP forbids")
    field.name = <unsigned char *> raw_name
    field.value = <unsigned char *> raw_value
    field.namelen = len(name)
    field.valuelen = len(value)
    field.flags = <unsigned char> (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE | flags)
    return 0


@cython.final
cdef class HeaderBlock:
    """An immutable list of header fields whose C form is made once.

    Pseudo-headers come first. Fields named in `sensitive` are sent never-indexed; the others enter the connection's
    HPACK table and cost one byte each from the second message on. `authorization` is never indexed whatever
    `sensitive` says: libnghttp2 decides so by name, as RFC 7541 section 7.1.3 advises. A client encodes a block once and
    not per request, since the Huffman code of a token of 200 bytes alone took 1 us.

    Raises ValueError for an illegal name or value, a misplaced pseudo-header, or more than 31 fields.
    """

    def __cinit__(self, pairs, sensitive=frozenset((b"authorization",))):
        cdef bytes name, value
        cdef int index, flags
        self.pairs = tuple((bytes(name), bytes(value)) for name, value in pairs)
        self.sensitive = frozenset(sensitive)
        self.count = len(self.pairs)
        if self.count >= MAX_FIELDS:
            raise ValueError(f"{self.count} header fields, at most {MAX_FIELDS - 1} fit")
        for index, (name, value) in enumerate(self.pairs):
            if name[:1] == b":":
                if index != self.pseudo_count:
                    raise ValueError(f"pseudo-header {name!r} after an ordinary one")
                self.pseudo_count += 1
            flags = NGHTTP2_NV_FLAG_NO_INDEX if name in self.sensitive else NGHTTP2_NV_FLAG_NONE
            point_field(&self.fields[index], name, value, flags)

    def __repr__(self):
        names = b" ".join(name for name, _ in self.pairs).decode("latin-1")
        return f"<HeaderBlock {names}>"

    cdef int encode(self) except -1:
        """Have libnghttp2 encode the block for requests, once; each form is a pair, pseudo-headers and the others.

        `first` puts fields into the table, `again` refers to them while they are the newest there, `bare` does neither;
        `table_bytes` bounds the room they take there. `method_alone` is ":method", which enters no table.
        Raises ValueError if that is more than a frame should hold, or if there is no ":method".
        """
        cdef nghttp2_nv bare[MAX_FIELDS]
        cdef Deflater deflater
        cdef int index
        if self.method_alone is not None:
            return 0
        if not self.pseudo_count or (<tuple> self.pairs[0])[0] != b":method":
            raise ValueError("the first field of a request is :method")
        memcpy(bare, self.fields, sizeof(bare))
        for index in range(self.count):
            bare[index].flags |= NGHTTP2_NV_FLAG_NO_INDEX
            self.table_bytes += bare[index].namelen + bare[index].valuelen + ENTRY_BYTES
        deflater = Deflater()
        self.first = self.halves(deflater, self.fields)
        self.again = self.halves(deflater, self.fields)
        # Another one, whose table stays empty.
        deflater = Deflater()
        self.bare = self.halves(deflater, bare)
        self.method = self.fields[0] if is_static(&bare[0]) else bare[0]
        # A session copies it, so that it may have it for longer than this lives.
        self.method.flags &= NGHTTP2_NV_FLAG_NO_INDEX
        self.method_alone = deflater.encode(&self.method, 1)
        return 0

    cdef tuple halves(self, Deflater deflater, nghttp2_nv *fields):
        cdef bytes pseudo = deflater.encode(fields, self.pseudo_count)
        cdef bytes others = deflater.encode(fields + self.pseudo_count, self.count - self.pseudo_count)
        if len(pseudo) + len(others) > MAX_BLOCK:
            raise ValueError(f"{len(pseudo) + len(others)} bytes of header fields, at most {MAX_BLOCK} fit")
        return pseudo, others


@cython.final
cdef class Deflater:
    """libnghttp2's HPACK encoder, with a table of its own."""

    def __cinit__(self):
        if nghttp2_hd_deflate_new(&self.raw, TABLE_BYTES):
            raise MemoryError

    def __dealloc__(self):
        nghttp2_hd_deflate_del(self.raw)

    cdef bytes encode(self, const nghttp2_nv *fields, size_t count):
        cdef bytearray out = bytearray(nghttp2_hd_deflate_bound(self.raw, fields, count))
        cdef ssize_t size = nghttp2_hd_deflate_hd(self.raw, <uint8_t *> out, len(out), fields, count)
        if size < 0:
            raise MemoryError(nghttp2_strerror(<int> size).decode())
        return bytes(out[:size])


cdef bint is_static(const nghttp2_nv *method) noexcept:
    """Tell whether the static table has a method with its value: RFC 7541 appendix A."""
    return method.valuelen == 3 and memcmp(method.value, b"GET", 3) == 0 \
        or method.valuelen == 4 and memcmp(method.value, b"POST", 4) == 0


cdef bytes encode_name(bytes name):
    """Return a literal field's beginning, never to be indexed: after it comes the value's length."""
    cdef nghttp2_nv field
    cdef bytes literal
    point_field(&field, name, b"", NGHTTP2_NV_FLAG_NO_INDEX)
    literal = Deflater().encode(&field, 1)
    # The last byte is the length of the empty value.
    return literal[:len(literal) - 1]
