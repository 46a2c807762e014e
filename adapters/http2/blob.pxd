"""A growing byte buffer in C, for what arrives in pieces and is mostly never looked at."""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy


cdef struct Blob:
    uint8_t *data
    uint32_t size
    uint32_t capacity


cdef inline int blob_append(Blob *blob, const void *source, uint32_t size) noexcept nogil:
    """Append bytes; return -1 when memory is out."""
    cdef uint32_t needed = blob.size + size
    cdef uint8_t *grown
    if needed > blob.capacity:
        grown = <uint8_t *> realloc(blob.data, needed + needed // 2 + 64)
        if grown == NULL:
            return -1
        blob.data = grown
        blob.capacity = needed + needed // 2 + 64
    memcpy(blob.data + blob.size, source, size)
    blob.size = needed
    return 0


cdef inline int blob_reserve(Blob *blob, uint32_t capacity) noexcept nogil:
    """Make room for so many bytes in all; return -1 when memory is out."""
    cdef uint8_t *grown
    if capacity <= blob.capacity:
        return 0
    grown = <uint8_t *> realloc(blob.data, capacity)
    if grown == NULL:
        return -1
    blob.data, blob.capacity = grown, capacity
    return 0


cdef inline void blob_free(Blob *blob) noexcept nogil:
    free(blob.data)
    blob.data = NULL
    blob.size = blob.capacity = 0
