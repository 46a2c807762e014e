"""Layout of the quick reader."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from gateway.wire_spans cimport Span


cdef struct Message:
    Span key
    Span content
    Span collapse_key
    Span ttl
    Span campaign
    uint64_t klass
    uint64_t push_type
    bint has_content


cdef struct Words:
    Span title
    Span body
    Span link
    Span sound
    Span thread
    int badge


cdef class AppScope:
    cdef str name
    cdef bytes prefix
    cdef uint64_t providers
    cdef uint32_t tag


cdef class QuickReader:
    cdef str _tenant
    cdef uint32_t _tenant_tag
    cdef dict _apps
    cdef AppScope _app
    cdef list _targets
    cdef list _users

    cdef bint _scan(self, const uint8_t *at, const uint8_t *end, Message *message) except -1
    cdef object _target(self, Span device, uint64_t providers)
    cdef object _content(self, Span span)
    cdef object _build(self, Message *message, int64_t now_unix_ms)
    cdef bint _take(self, uint64_t field, Span span, Message *message) except -1
    cdef bint _add_recipient(self, uint64_t field, Span span) except -1
    cdef bint _split(self, Span span, Words *words, dict data) except -1
    cdef bint _add_entry(self, Span span, dict data, Py_ssize_t *total) except -1
