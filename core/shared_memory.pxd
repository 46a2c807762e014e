"""Atomic words, prefetching, and the header that every buffer shared between processes begins with."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset


cdef extern from *:
    """
    #include <stdint.h>
    #define load_acquire(word) __atomic_load_n((word), __ATOMIC_ACQUIRE)
    #define load_relaxed(word) __atomic_load_n((word), __ATOMIC_RELAXED)
    #define store_release(word, value) __atomic_store_n((word), (value), __ATOMIC_RELEASE)
    #define fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
    #define fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)
    #define add_and_fetch(word, value) __atomic_add_fetch((word), (value), __ATOMIC_ACQ_REL)
    #define prefetch(address) __builtin_prefetch((const void *)(address), 1, 3)
    static inline int compare_and_swap(uint64_t *word, uint64_t expected, uint64_t desired) {
        return __atomic_compare_exchange_n(word, &expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    """
    uint64_t load_acquire(const uint64_t *word) noexcept nogil
    uint64_t load_relaxed(const uint64_t *word) noexcept nogil
    void store_release(uint64_t *word, uint64_t value) noexcept nogil
    void fence_acquire() noexcept nogil
    void fence_release() noexcept nogil
    uint64_t add_and_fetch(uint64_t *word, uint64_t value) noexcept nogil
    void prefetch(const void *address) noexcept nogil
    bint compare_and_swap(uint64_t *word, uint64_t expected, uint64_t desired) noexcept nogil


cdef struct Header:
    uint64_t magic
    uint64_t version
    uint64_t size
    uint64_t parameters[5]


cdef inline Header *base_of(uint8_t[::1] buffer, uint64_t needed, str name) except NULL:
    """The start of a buffer that is long and aligned enough for atomic words."""
    if <uint64_t>buffer.shape[0] < needed:
        raise ValueError(f"{name} needs a buffer of {needed} bytes, not {buffer.shape[0]}")
    if <size_t>&buffer[0] & 7:
        raise ValueError(f"{name} needs a buffer aligned to 8 bytes")
    return <Header *>&buffer[0]


cdef inline void format_header(Header *header, uint64_t cleared, uint64_t size) noexcept nogil:
    """Clear what another life of the buffer left; the magic is written last, by publish_header, once the rest stands.

    A fresh mapping is left alone: clearing it would take up all its memory at once.
    """
    if header.magic != 0:
        memset(header, 0, cleared)
    header.size = size


cdef inline void publish_header(Header *header, uint64_t magic, uint64_t version) noexcept nogil:
    header.version = version
    store_release(&header.magic, magic)


cdef inline Header *attached(uint8_t[::1] buffer, uint64_t magic, uint64_t version, str name) except NULL:
    """The header of a formatted buffer; raises ValueError for one that another program or version made."""
    cdef Header *header = base_of(buffer, sizeof(Header), name)
    if load_acquire(&header.magic) != magic:
        raise ValueError(f"this buffer holds no {name}: its magic number is {header.magic:#x}")
    if header.version != version:
        raise ValueError(f"this {name} has layout version {header.version}, this program reads {version}")
    base_of(buffer, header.size, name)
    return header
