"""One request and its answer, allocated by the caller and filled in by the session that carries it."""

import cython
from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcpy

from adapters.http2.blob cimport blob_append, blob_free
from adapters.http2.headers cimport HeaderBlock, point_field
from adapters.http2.nghttp2 cimport (
    NGHTTP2_NV_FLAG_NO_COPY_NAME,
    NGHTTP2_NV_FLAG_NO_COPY_VALUE,
    NGHTTP2_NV_FLAG_NO_INDEX,
    nghttp2_check_path,
    nghttp2_nv,
)

from adapters.http2.fate import Fate

cdef tuple FATES = tuple(Fate)
cdef bytes PATH = b":path"


@cython.final
@cython.freelist(1024)
cdef class Exchange:
    """One request (`head`, `path`, `extra`, `payload`) and its answer (`status`, `headers`, `body`, `fate`).

    `extra` is flat: name, value, name, value; its fields are sent as literals that never enter the HPACK table. `tag` is
    the caller's own. An exchange that ended may be submitted again; that clears the former answer.
    Raises ValueError for an illegal field or path, or an odd or too long `extra`.
    """

    def __cinit__(self, HeaderBlock head not None, bytes path not None, tuple extra=(), bytes body=b"", object tag=None):
        cdef nghttp2_nv probe
        cdef bytes name, value
        cdef Py_ssize_t index, size = len(extra)
        if size % 2 or size > MAX_EXTRA:
            raise ValueError(f"extra has {size} items: name, value, ... of at most {MAX_EXTRA // 2} fields")
        if not path or not nghttp2_check_path(path, len(path)):
            raise ValueError("path has bytes that HTTP forbids")
        for index in range(0, size, 2):
            name = extra[index]
            value = extra[index + 1]
            if name[:1] == b":":
                raise ValueError(f"pseudo-header {name!r} among the extra fields")
            point_field(&probe, name, value, 0)
        self.head = head
        self.path = path
        self.extra = extra
        self.payload = body
        self.tag = tag

    def __dealloc__(self):
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
        self.head = head

    cdef int fill(self, nghttp2_nv *nva) noexcept:
        """Lay out the request's fields, pointing into this object's bytes; return how many."""
        cdef HeaderBlock head = self.head
        cdef int pseudo = head.pseudo_count, count = head.count + 1
        cdef int index
        cdef Py_ssize_t size = len(self.extra)
        memcpy(nva, head.fields, pseudo * sizeof(nghttp2_nv))
        point(&nva[pseudo], PATH, self.path)
        memcpy(nva + pseudo + 1, head.fields + pseudo, (head.count - pseudo) * sizeof(nghttp2_nv))
        for index in range(0, size, 2):
            point(&nva[count], <bytes> self.extra[index], <bytes> self.extra[index + 1])
            count += 1
        return count

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


cdef inline void point(nghttp2_nv *field, bytes name, bytes value) noexcept:
    """Point at bytes that point_field() has already checked."""
    field.name = <unsigned char *> name
    field.value = <unsigned char *> value
    field.namelen = len(name)
    field.valuelen = len(value)
    field.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE | NGHTTP2_NV_FLAG_NO_INDEX
