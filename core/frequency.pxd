"""What the frequency counters are asked, and what they answer."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from core.frequency_table cimport Cell, Event, FrequencyTable, Shard


cdef enum:
    MAX_COLUMNS = 16
    AHEAD = 12


cdef struct Columns:
    const uint8_t *bits
    const uint16_t *limits
    const uint32_t *since_s
    const uint32_t *until_s
    Py_ssize_t k


cdef struct Answer:
    uint8_t granted
    uint8_t blocking
    uint32_t retry_at_s


cdef class FrequencyCounters(FrequencyTable):
    cdef Answer _one(
        self, uint64_t user, uint32_t tag, uint64_t mask, const Columns *columns, uint32_t now_s, bint peek
    ) noexcept nogil
    cdef inline void _prefetch(self, const uint64_t *users, Py_ssize_t at, Py_ssize_t end) noexcept nogil
    cdef bint _live(self, const Event *event, uint32_t now_s) noexcept nogil
    cdef Answer _decide(
        self, const Shard *shard, const Cell *cell, uint32_t tag, const Columns *columns, uint32_t now_s
    ) noexcept nogil
    cdef uint32_t _free_again(
        self, const Shard *shard, const Cell *cell, const Columns *columns, Py_ssize_t j, uint32_t now_s
    ) noexcept nogil
    cdef bint _add(self, Shard *shard, uint64_t user, const Event *event, uint32_t now_s) noexcept nogil
    cdef Event *_room(self, Shard *shard, uint64_t user, uint32_t now_s) noexcept nogil
    cdef void _sweep(self, Shard *shard, uint32_t now_s) noexcept nogil
