"""The 16 bytes that name a notification: when it was accepted, and where in which journal it stands.

RFC 9562 UUIDv8, big-endian: 48 bits accepted_unix_ms | version 8 | 12 bits journal | variant | 46 bits segment | 16 bits index.
Source: https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-8
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef int64_t MAX_UNIX_MS = (<int64_t>1 << 48) - 1
cdef int64_t MAX_SEGMENT = (<int64_t>1 << 46) - 1
cdef const char* HEX = b"0123456789abcdef"


def make_id_many(int64_t accepted_unix_ms, int64_t journal, int64_t segment, int64_t count):
    """Make the ids of all notifications of a segment, in order of their index.

    Returns count x 16 bytes. count: 1 to 65,536.
    Raises ValueError if a part does not fit its bits.
    """
    if not 1 <= count <= MAX_COUNT:
        raise ValueError(f"a segment holds 1 to {MAX_COUNT} notifications, not {count}")
    return made(accepted_unix_ms, journal, segment, 0, count)


def make_id(int64_t accepted_unix_ms, int64_t journal, int64_t segment, int64_t index):
    """Make the 16 bytes of one notification.

    Raises ValueError if a part does not fit its bits.
    """
    if not 0 <= index < MAX_COUNT:
        raise ValueError(f"no id has index={index}")
    return made(accepted_unix_ms, journal, segment, index, 1)


def parse_id(bytes notification_id not None):
    """Return (accepted_unix_ms, journal, segment, index).

    Raises ValueError if these are not 16 bytes of ours.
    """
    cdef const uint8_t* at = checked(notification_id)
    cdef uint64_t high = get_u64(at)
    cdef uint64_t low = get_u64(at + 8)
    return high >> 16, high & MAX_JOURNAL, (low >> 16) & <uint64_t>MAX_SEGMENT, low & 0xFFFF


def format_id(bytes notification_id not None):
    """Return the canonical lower-case text, 36 characters.

    Raises ValueError if these are not 16 bytes of ours.
    """
    return format_one(checked(notification_id))


def format_id_many(bytes notification_ids not None):
    """Return the canonical text of each of n x 16 bytes.

    Raises ValueError if the length is not a multiple of 16.
    """
    cdef Py_ssize_t at
    cdef const uint8_t* ids = <const uint8_t*>PyBytes_AS_STRING(notification_ids)
    if len(notification_ids) % 16:
        raise ValueError("ids are 16 bytes each")
    return [format_one(ids + at) for at in range(0, len(notification_ids), 16)]


def parse_id_text(str text not None):
    """Return the 16 bytes of a canonical text, upper or lower case.

    Raises ValueError if it is not the text of an id of ours.
    """
    cdef bytes notification_id
    if len(text) != 36 or text[8] != "-" or text[13] != "-" or text[18] != "-" or text[23] != "-":
        raise ValueError("a notification id is a UUID of 36 characters")
    # bytes.fromhex skips blanks, so the length is checked once more by `checked`.
    notification_id = bytes.fromhex(text.replace("-", ""))
    checked(notification_id)
    return notification_id


cdef bytes made(int64_t accepted_unix_ms, int64_t journal, int64_t segment, int64_t first, int64_t count):
    cdef bytes ids
    cdef uint8_t* at
    cdef int64_t index
    cdef uint64_t high, low
    if not (0 <= accepted_unix_ms <= MAX_UNIX_MS and 0 <= journal <= MAX_JOURNAL and 0 <= segment <= MAX_SEGMENT):
        raise ValueError(f"no id has accepted_unix_ms={accepted_unix_ms} journal={journal} segment={segment}")
    ids = PyBytes_FromStringAndSize(NULL, count * 16)
    at = <uint8_t*>PyBytes_AS_STRING(ids)
    high = (<uint64_t>accepted_unix_ms << 16) | 0x8000 | <uint64_t>journal
    low = (<uint64_t>2 << 62) | (<uint64_t>segment << 16)
    for index in range(first, first + count):
        put_u64(at, high)
        put_u64(at + 8, low | <uint64_t>index)
        at += 16
    return ids


cdef const uint8_t* checked(bytes notification_id) except NULL:
    cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(notification_id)
    if len(notification_id) != 16:
        raise ValueError("a notification id has 16 bytes")
    if at[6] >> 4 != 8 or at[8] >> 6 != 2:
        raise ValueError("not the id of a notification: UUID version 8 is expected")
    return at


cdef str format_one(const uint8_t* at):
    cdef char[36] text
    cdef int read, write = 0
    for read in range(16):
        if read == 4 or read == 6 or read == 8 or read == 10:
            text[write] = b"-"
            write += 1
        text[write] = HEX[at[read] >> 4]
        text[write + 1] = HEX[at[read] & 15]
        write += 2
    return PyUnicode_DecodeASCII(text, 36, NULL)


cdef inline void put_u64(uint8_t* at, uint64_t value) noexcept nogil:
    cdef int byte
    for byte in range(8):
        at[byte] = <uint8_t>(value >> (56 - 8 * byte))


cdef inline uint64_t get_u64(const uint8_t* at) noexcept nogil:
    cdef uint64_t value = 0
    cdef int byte
    for byte in range(8):
        value = (value << 8) | at[byte]
    return value
