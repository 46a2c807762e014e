"""SipHash-2-4 as inline C, so that other hot modules hash without a call into Python."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy


cdef struct SipKey:
    uint64_t low
    uint64_t high


cdef struct Hash128:
    uint64_t low
    uint64_t high


cdef struct SipState:
    uint64_t v0
    uint64_t v1
    uint64_t v2
    uint64_t v3


cdef inline uint64_t rotate_left(uint64_t word, int bits) noexcept nogil:
    return (word << bits) | (word >> (64 - bits))


cdef inline void sip_rounds(SipState *s, int rounds) noexcept nogil:
    cdef int _
    for _ in range(rounds):
        s.v0 += s.v1
        s.v1 = rotate_left(s.v1, 13) ^ s.v0
        s.v0 = rotate_left(s.v0, 32)
        s.v2 += s.v3
        s.v3 = rotate_left(s.v3, 16) ^ s.v2
        s.v0 += s.v3
        s.v3 = rotate_left(s.v3, 21) ^ s.v0
        s.v2 += s.v1
        s.v1 = rotate_left(s.v1, 17) ^ s.v2
        s.v2 = rotate_left(s.v2, 32)


cdef inline SipState sip_absorb(const SipKey *key, const uint8_t *data, size_t size, uint64_t variant) noexcept nogil:
    """Take in the whole message; variant is 0xee for 128 bits of output, 0 for 64."""
    cdef SipState s
    cdef uint64_t word
    cdef size_t whole = size & ~<size_t>7
    cdef size_t at = 0
    s.v0 = key.low ^ <uint64_t>0x736f6d6570736575
    s.v1 = key.high ^ <uint64_t>0x646f72616e646f6d ^ variant
    s.v2 = key.low ^ <uint64_t>0x6c7967656e657261
    s.v3 = key.high ^ <uint64_t>0x7465646279746573
    while at < whole:
        memcpy(&word, data + at, 8)
        s.v3 ^= word
        sip_rounds(&s, 2)
        s.v0 ^= word
        at += 8
    word = 0
    memcpy(&word, data + whole, size - whole)
    word |= <uint64_t>size << 56
    s.v3 ^= word
    sip_rounds(&s, 2)
    s.v0 ^= word
    return s


cdef inline uint64_t sip_fold(SipState *s) noexcept nogil:
    sip_rounds(s, 4)
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3


cdef inline uint64_t siphash64(const SipKey *key, const uint8_t *data, size_t size) noexcept nogil:
    cdef SipState s = sip_absorb(key, data, size, 0)
    s.v2 ^= 0xff
    return sip_fold(&s)


cdef inline Hash128 siphash128(const SipKey *key, const uint8_t *data, size_t size) noexcept nogil:
    cdef Hash128 digest
    cdef SipState s = sip_absorb(key, data, size, 0xee)
    s.v2 ^= 0xee
    digest.low = sip_fold(&s)
    s.v1 ^= 0xdd
    digest.high = sip_fold(&s)
    return digest


cdef class SipHash:
    cdef SipKey _key
