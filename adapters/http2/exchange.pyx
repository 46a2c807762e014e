"""One request and its answer, allocated by the caller and filled in by the session that carries it."""

import cython
from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcpy

from adapters.http2.blob cimport blob_append, blob_free, blob_reserve
from adapters.http2.headers cimport HeaderBlock, point_field
from adapters.http2.hpack cimport LITERAL_PATH, LITERAL_SECRET, put_byte, put_length, put_string
from adapters.http2.nghttp2 cimport nghttp2_check_header_value, nghttp2_nv

from adapters.http2.fate import Fate

cdef enum:
    # The path of an APNs device and three fields.
    USUAL_OWN = 240

cdef tuple FATES = tuple(Fate)


@cython.final
@cython.freelist(1024)
cdef class Exchange:
    """One request (`head`, `path`, `extra`, `payload`) and its answer (`status`, `headers`, `body`, `fate`).

    `extra` is flat: name, value, name, value; its fields are sent as literals that never enter the HPACK table. `tag` is
    the caller's own. An exchange that ended may be submitted again; that clears the former answer.
    Raises ValueError for an illegal field or path, an odd or too long `extra`, or more than a frame should hold.
    """

    def __init__(self, HeaderBlock head not None, bytes path not None, tuple extra=(), bytes body=b"", object tag=None):
        cdef bytes name, value
        cdef Py_ssize_t index, size = len(extra)
        if size % 2 or size > MAX_EXTRA:
            raise ValueError(f"extra has {size} items: name, value, ... of at most {MAX_EXTRA // 2} fields")
        if self.live:
            raise ValueError("the exchange is in flight")
        self.set_path(path, len(path), b"", 0)
        for index in range(0, size, 2):
            name = extra[index]
            value = extra[index + 1]
            if name[:1] == b":":
                raise ValueError(f"pseudo-header {name!r} among the extra fields")
            self.add_literal(name, value)
        head.encode()
        self.head = head
        self.payload = body
        self.tag = tag

    def __dealloc__(self):
        blob_free(&self.own)
        blob_free(&self.fields)
        blob_free(&self.content)

    @property
    def fate(self):
        """How the request ended; PENDING before and while it is in flight."""
        return FATES[self.ending]

    @property
    def body(self):
        """The answer's body, at most 16,384 bytes of it; `truncated` tells when there was more or it broke off."""
        return self.content.data[:self.content.size]

    @property
    def headers(self):
        """The answer's fields among the names that its session was asked to keep."""
        cdef uint32_t position = 0
        cdef uint16_t size
        cdef dict found = {}
        while position < self.fields.size:
            memcpy(&size, self.fields.data + position + 1, 2)
            found[self.wanted[self.fields.data[position]]] = self.fields.data[position + 3:position + 3 + size]
            position += 3 + size
        return found

    def rehead(self, HeaderBlock head not None):
        """Replace the shared fields for a resend, as after a refreshed credential; raise ValueError while in flight."""
        if self.live:
            raise ValueError("the exchange is in flight")
        head.encode()
        self.head = head

    cdef int set_path(self, const uint8_t *start, size_t start_size, const uint8_t *rest, size_t rest_size) except -1:
        """Set the path, which comes in two pieces. Raises ValueError if it is empty or has bytes that HTTP forbids."""
        cdef size_t size = start_size + rest_size
        if not size or not (is_visible(start, start_size) and is_visible(rest, rest_size)):
            raise ValueError("path has bytes that HTTP forbids")
        self.own.size = 0
        self.reserve(size)
        if put_byte(&self.own, LITERAL_PATH) or put_length(&self.own, size) \
                or blob_append(&self.own, start, <uint32_t> start_size) \
                or blob_append(&self.own, rest, <uint32_t> rest_size):
            raise MemoryError
        self.own_path = self.own.size
        return 0

    cdef int add_field(self, bytes encoded_name, const uint8_t *value, size_t size) except -1:
        """Add a field after the path; encoded_name as encode_name makes it. Raises ValueError for an illegal value."""
        if not nghttp2_check_header_value(value, size):
            raise ValueError("a header value has bytes that HTTP forbids")
        self.reserve(size + len(encoded_name))
        if blob_append(&self.own, <const uint8_t *> encoded_name, <uint32_t> len(encoded_name)) \
                or put_string(&self.own, value, size):
            raise MemoryError
        return 0

    cdef int add_literal(self, bytes name, bytes value) except -1:
        cdef nghttp2_nv probe
        point_field(&probe, name, value, 0)
        self.reserve(len(name) + len(value))
        if put_byte(&self.own, LITERAL_SECRET) or put_string(&self.own, <const uint8_t *> name, len(name)) \
                or put_string(&self.own, <const uint8_t *> value, len(value)):
            raise MemoryError
        return 0

    cdef int reserve(self, size_t size) except -1:
        """Check that a field of so many bytes, with at most 7 for its lengths, still fits."""
        if self.own.size + size + 7 > MAX_OWN:
            raise ValueError(f"more than {MAX_OWN} bytes of a request's own header fields")
        return 0

    cdef int write_head(self, Blob *out, tuple shared) noexcept:
        """Write the request's fields, shared and own, in the order that HTTP/2 demands."""
        cdef bytes pseudo = <bytes> shared[0], others = <bytes> shared[1]
        return (
            blob_append(out, <const uint8_t *> pseudo, <uint32_t> len(pseudo))
            or blob_append(out, self.own.data, self.own_path)
            or blob_append(out, <const uint8_t *> others, <uint32_t> len(others))
            or blob_append(out, self.own.data + self.own_path, self.own.size - self.own_path)
        )

    cdef void clear_answer(self) noexcept:
        self.status = 0
        self.error_code = 0
        self.stream_id = 0
        self.truncated = False
        self.sent = False
        self.ending = PENDING
        self.payload_sent = 0
        self.fields.size = 0
        self.content.size = 0

    cdef int keep_field(self, int index, const unsigned char *value, size_t size) noexcept:
        cdef uint8_t mark = index
        cdef uint16_t width = size
        if size > 4096 or self.fields.size > BODY_CAP:
            return 0
        if blob_append(&self.fields, &mark, 1) or blob_append(&self.fields, &width, 2):
            return -1
        return blob_append(&self.fields, value, width)

    cdef int keep_content(self, const unsigned char *data, size_t size) noexcept:
        cdef size_t room = BODY_CAP - self.content.size
        if size > room:
            self.truncated = True
            size = room
        return blob_append(&self.content, data, <uint32_t> size) if size else 0


cdef Exchange new_exchange(HeaderBlock head, bytes payload, object tag):
    """Make an exchange that has no path yet; for callers in C that set it and their fields next."""
    cdef Exchange exchange = Exchange.__new__(Exchange)
    head.encode()
    if blob_reserve(&exchange.own, USUAL_OWN):
        raise MemoryError
    exchange.head, exchange.payload, exchange.tag = head, payload, tag
    return exchange


cdef inline bint is_visible(const uint8_t *at, size_t size) noexcept nogil:
    """Tell whether it is ASCII without blanks or controls; without a branch per byte, so that the compiler vectorises."""
    cdef size_t index
    cdef uint8_t odd = 0
    for index in range(size):
        odd |= <uint8_t> (at[index] - 0x21) > 0x5D
    return not odd
