"""The common alert, written straight as JSON; whatever else there is, is left to adapters.apns.payload.

Building dictionaries and having them serialised took 3 us a notification, this takes a tenth of it. What it writes is, to
the byte, what the general way writes: a property test holds them together.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memmove

from core.delivery cimport Notification

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    # core.model.PushType
    ALERT = 1
    # What a NamedTuple of core.content.message.Content holds, and where.
    TITLE = 0
    BODY = 1
    IMAGE_URL = 2
    VIDEO_URL = 3
    DEEP_LINK = 4
    BADGE = 5
    SOUND = 6
    THREAD_KEY = 7
    DATA = 8
    PASS_TYPE_ID = 9
    APNS = 10

cdef const char *HEX = b"0123456789abcdef"
cdef uint64_t ONES = 0x0101010101010101
cdef uint64_t HIGH = 0x8080808080808080


def render_alerts(list notifications not None, Py_ssize_t max_bytes, object envelope):
    """Return (payload, envelope) for each notification, None for what is left to the general way.

    That is: no alert, a content with options, a pass, a data key of ours or Apple's, and more than max_bytes.
    """
    cdef list found = []
    cdef Notification notification
    cdef bytes payload
    for notification in notifications:
        payload = None
        if notification.push_type == ALERT and isinstance(notification.content, tuple):
            payload = render_alert(<tuple>notification.content, max_bytes)
        found.append(None if payload is None else (payload, envelope))
    return found


cdef bytes render_alert(tuple content, Py_ssize_t max_bytes):
    cdef Text text
    text.size, text.full = 0, False
    if content[APNS] is not None or content[PASS_TYPE_ID]:
        return None
    write_alert(&text, content)
    if content[DATA] is not None and not write_data(&text, <dict?>content[DATA]):
        return None
    write_link(&text, b',"deep_link":', 13, content[DEEP_LINK])
    write_link(&text, b',"image_url":', 13, content[IMAGE_URL])
    write_link(&text, b',"video_url":', 13, content[VIDEO_URL])
    put(&text, b"}", 1)
    if text.full or text.size > max_bytes:
        return None
    return PyBytes_FromStringAndSize(<char *>text.at, text.size)


cdef int write_alert(Text *text, tuple content) except -1:
    """Write the `aps` dictionary, and what opens the whole."""
    cdef bint titled = bool(content[TITLE]), said = bool(content[BODY])
    cdef Py_ssize_t start
    put(text, b'{"aps":{', 8)
    start = text.size
    if titled or said:
        put(text, b',"alert":{', 10)
        if titled:
            put(text, b'"title":', 8)
            put_string(text, content[TITLE])
        if said:
            put(text, b',"body":' if titled else b'"body":', 8 if titled else 7)
            put_string(text, content[BODY])
        put(text, b"}", 1)
    if <int>content[BADGE] >= 0:
        put(text, b',"badge":', 9)
        put_number(text, <int>content[BADGE])
    if content[SOUND] != "none":
        put(text, b',"sound":', 9)
        put_string(text, content[SOUND] or "default")
    if content[THREAD_KEY]:
        put(text, b',"thread-id":', 13)
        put_string(text, content[THREAD_KEY])
    if content[IMAGE_URL] or content[VIDEO_URL]:
        put(text, b',"mutable-content":1', 20)
    drop_comma(text, start)
    put(text, b"}", 1)
    return 0


cdef bint write_data(Text *text, dict data) except -1:
    """Write the caller's own entries; False if one would take the place of Apple's dictionary or of a link."""
    for key, value in data.items():
        if is_taken(key):
            return False
        put(text, b",", 1)
        put_string(text, key)
        put(text, b":", 1)
        put_string(text, value)
    return True


cdef inline bint is_taken(object key) except -1:
    cdef Py_ssize_t size = len(<str?>key)
    if size == 3:
        return key == "aps"
    return size == 9 and (key == "deep_link" or key == "image_url" or key == "video_url")


cdef int write_link(Text *text, const char *name, Py_ssize_t size, object link) except -1:
    if link:
        put(text, name, size)
        put_string(text, link)
    return 0


cdef inline void put(Text *text, const void *source, Py_ssize_t size) noexcept:
    if size > ROOM - text.size:
        text.full = True
        return
    memcpy(text.at + text.size, source, size)
    text.size += size


cdef inline void drop_comma(Text *text, Py_ssize_t start) noexcept:
    """Take away the comma before the first entry of an object that begins at start."""
    if text.size > start:
        memmove(text.at + start, text.at + start + 1, text.size - start - 1)
        text.size -= 1


cdef int put_string(Text *text, object string) except -1:
    """Write a JSON string: quotes, backslashes and control characters escaped, everything else as UTF-8.

    Source: RFC 8259 section 7, https://www.rfc-editor.org/rfc/rfc8259#section-7
    """
    cdef Py_ssize_t size, plain
    cdef const uint8_t *at = <const uint8_t *>PyUnicode_AsUTF8AndSize(string, &size)
    put(text, b'"', 1)
    while True:
        plain = plain_run(at, size)
        put(text, at, plain)
        if plain == size:
            break
        put_escaped(text, at[plain])
        at, size = at + plain + 1, size - plain - 1
    put(text, b'"', 1)
    return 0


cdef inline Py_ssize_t plain_run(const uint8_t *at, Py_ssize_t size) noexcept:
    """Return how many bytes at the beginning need no escape; eight at a time, as nearly all are such."""
    cdef Py_ssize_t i = 0
    cdef uint64_t word
    while i + 8 <= size:
        memcpy(&word, at + i, 8)
        # Any byte below 0x20, or one that is zero once its quote or backslash is taken away.
        if ((word - ONES * 0x20) & ~word | no_byte(word ^ ONES * 0x22) | no_byte(word ^ ONES * 0x5C)) & HIGH:
            break
        i += 8
    while i < size and at[i] >= 0x20 and at[i] != 0x22 and at[i] != 0x5C:
        i += 1
    return i


cdef inline uint64_t no_byte(uint64_t word) noexcept:
    """Set the high bit of a byte that is zero, maybe of those above it too.

    Source: Anderson, Bit Twiddling Hacks, https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord
    """
    return (word - ONES) & ~word


cdef void put_escaped(Text *text, uint8_t byte) noexcept:
    cdef uint8_t escape[6]
    memcpy(escape, b"\\u0000", 6)
    if byte == c'"' or byte == c'\\':
        escape[1] = byte
    elif byte == 8:
        escape[1] = c'b'
    elif byte == 9:
        escape[1] = c't'
    elif byte == 10:
        escape[1] = c'n'
    elif byte == 12:
        escape[1] = c'f'
    elif byte == 13:
        escape[1] = c'r'
    else:
        escape[4], escape[5] = HEX[byte >> 4], HEX[byte & 15]
        put(text, escape, 6)
        return
    put(text, escape, 2)


cdef void put_number(Text *text, int number) noexcept:
    """Write a number that is not negative."""
    cdef uint8_t digits[12]
    cdef int at = 12
    while True:
        at -= 1
        digits[at] = <uint8_t>(48 + number % 10)
        number //= 10
        if number == 0:
            break
    put(text, digits + at, 12 - at)
