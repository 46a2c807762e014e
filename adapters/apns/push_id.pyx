"""apns-id values derived from what is delivered to whom, so that a retry or a restart sends the same one again."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from core.delivery cimport Delivery

cdef const char *HEX = b"0123456789abcdef"


def push_id(bytes notification_id not None, uint64_t device_key):
    """Return the canonical lower-case UUID (version 8) of one delivery, 36 ASCII bytes.

    notification_id: 16 bytes. Raises ValueError for another length.
    Source: RFC 9562 section 5.8, https://www.rfc-editor.org/rfc/rfc9562#section-5.8
    """
    return text_of(notification_id, device_key)


def stamp(deliveries not None, Py_ssize_t count):
    """Give the first `count` deliveries their provider_message_id; return the same ids as bytes, in order.

    Raises ValueError for a notification id that is not 16 bytes, IndexError if there are fewer deliveries.
    """
    cdef list ids = []
    cdef Delivery delivery
    cdef bytes text
    cdef Py_ssize_t index
    if not 0 <= count <= len(deliveries):
        raise IndexError(f"{count} of {len(deliveries)} deliveries")
    for index in range(count):
        delivery = deliveries[index]
        text = text_of(delivery.notification.id, delivery.device_key)
        if delivery.provider_message_id is None:
            delivery.provider_message_id = PyUnicode_DecodeASCII(PyBytes_AS_STRING(text), 36, NULL)
        ids.append(text)
    return ids


cdef bytes text_of(bytes notification_id, uint64_t device_key):
    cdef uint8_t text[ID_BYTES]
    write_id(notification_id, device_key, text)
    return PyBytes_FromStringAndSize(<char *> text, ID_BYTES)


cdef int write_id(bytes notification_id, uint64_t device_key, uint8_t *out) except -1:
    cdef uint8_t raw[16]
    cdef uint64_t half[2]
    cdef int index
    if PyBytes_GET_SIZE(notification_id) != 16:
        raise ValueError(f"a notification id has 16 bytes, not {len(notification_id)}")
    memcpy(half, PyBytes_AS_STRING(notification_id), 16)
    # A plain xor would let notifications whose ids differ little share one; the mix spreads each key over 128 bits.
    half[0] ^= mix(device_key)
    half[1] ^= mix(device_key ^ <uint64_t> 0xD6E8FEB86659FD93)
    memcpy(raw, half, 16)
    raw[6] = (raw[6] & 0x0F) | 0x80
    raw[8] = (raw[8] & 0x3F) | 0x80
    for index in range(16):
        if index == 4 or index == 6 or index == 8 or index == 10:
            out[0] = c"-"
            out += 1
        out[0] = HEX[raw[index] >> 4]
        out[1] = HEX[raw[index] & 15]
        out += 2
    return 0


cdef inline uint64_t mix(uint64_t x) noexcept nogil:
    """Scramble 64 bits one to one: the finalizer of SplitMix64, https://doi.org/10.1145/2714064.2660195."""
    x += <uint64_t> 0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t> 0x94D049BB133111EB
    return x ^ (x >> 31)
