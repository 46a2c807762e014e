"""Spans of protobuf's wire format, and the checks of gateway.fields over their bytes.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from libc.stdint cimport uint8_t, uint64_t


cdef struct Span:
    const uint8_t *at
    Py_ssize_t size


cdef inline bint take_varint(const uint8_t **at, const uint8_t *end, uint64_t *value) noexcept nogil:
    cdef uint64_t result = 0
    cdef int shift = 0
    cdef uint8_t byte
    while at[0] < end and shift < 64:
        byte = at[0][0]
        at[0] += 1
        result |= <uint64_t>(byte & 0x7F) << shift
        if byte < 0x80:
            value[0] = result
            return True
        shift += 7
    return False


cdef inline bint take_span(const uint8_t **at, const uint8_t *end, Span *span) noexcept nogil:
    cdef uint64_t size
    if not take_varint(at, end, &size) or size > <uint64_t>(end - at[0]):
        return False
    span.at = at[0]
    span.size = <Py_ssize_t>size
    at[0] += size
    return True


cdef inline bint is_plain(Span span, Py_ssize_t least, Py_ssize_t most) noexcept nogil:
    """Tell whether the text fits and holds no control character that gateway.fields.bounded refuses."""
    cdef Py_ssize_t i
    cdef uint8_t byte
    if not least <= span.size <= most:
        return False
    for i in range(span.size):
        byte = span.at[i]
        if byte < 0x20 and byte != 9 and byte != 10 and byte != 13 or byte == 0x7F:
            return False
    return True


cdef inline bint is_visible(Span span, Py_ssize_t most, uint8_t least) noexcept nogil:
    cdef Py_ssize_t i
    if span.size > most:
        return False
    for i in range(span.size):
        if not least <= span.at[i] <= 0x7E:
            return False
    return True


cdef inline bint is_apns_token(Span span) noexcept nogil:
    """Tell whether it is canonical: an even number of lower-case hexadecimal digits, 2 to 512."""
    cdef Py_ssize_t i
    cdef uint8_t byte
    if span.size & 1 or not 2 <= span.size <= 512:
        return False
    for i in range(span.size):
        byte = span.at[i]
        if not (0x30 <= byte <= 0x39 or 0x61 <= byte <= 0x66):
            return False
    return True


cdef inline bint is_alphanumeric(uint8_t byte) noexcept nogil:
    return 0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A


cdef inline bint is_fcm_token(Span span) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint8_t byte
    if not 1 <= span.size <= 4096:
        return False
    for i in range(span.size):
        byte = span.at[i]
        # _ : - . = % / + ,
        if not (is_alphanumeric(byte) or byte == 0x5F or byte == 0x3A or 0x2B <= byte <= 0x2F or byte == 0x3D or byte == 0x25):
            return False
    return True


cdef inline bint is_safe_link(Span span) noexcept nogil:
    """Tell whether it is an ASCII URI whose scheme cannot be one that runs script (those begin with d, f, j or v)."""
    cdef Py_ssize_t i = 0
    cdef uint8_t byte
    if not 3 <= span.size <= 2048 or not is_alphanumeric(span.at[0]) or span.at[0] < 0x41:
        return False
    byte = span.at[0] | 0x20
    if byte == 0x64 or byte == 0x66 or byte == 0x6A or byte == 0x76:
        return False
    while i < span.size and span.at[i] != 0x3A:
        byte = span.at[i]
        if not (is_alphanumeric(byte) or byte == 0x2B or byte == 0x2D or byte == 0x2E):
            return False
        i += 1
    if i > 64 or i + 1 >= span.size:
        return False
    for i in range(i + 1, span.size):
        byte = span.at[i]
        # " < > \ ^ ` { | }
        if byte <= 0x20 or byte >= 0x7B and byte != 0x7E or byte == 0x22 or byte == 0x3C or byte == 0x3E \
                or byte == 0x5C or byte == 0x5E or byte == 0x60:
            return False
    return True


cdef inline bint begins(Span span, const char *word, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    if span.size < size:
        return False
    for i in range(size):
        if span.at[i] != <uint8_t>word[i]:
            return False
    return True


cdef inline bint is_reserved(Span key) noexcept nogil:
    return (
        begins(key, "google.", 7) or begins(key, "gcm.", 4) or key.size == 3 and begins(key, "aps", 3)
        or key.size == 4 and begins(key, "from", 4) or key.size == 12 and begins(key, "message_type", 12)
    )
