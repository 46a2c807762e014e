"""Layout of the frequency counters in shared memory, and how a shard is locked, searched and mended."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from core.shared_memory cimport Header


cdef enum:
    EVENTS = 3
    CELLS = 255
    HEADS = 256
    NOMINAL = 176
    MAX_CHAIN = 86
    FILTERS = 63


cdef struct Event:
    uint32_t time_s
    uint32_t tag
    uint64_t mask


cdef struct Cell:
    uint64_t user
    uint8_t next
    uint8_t more
    uint8_t spare[6]
    Event events[EVENTS]


cdef struct Directory:
    uint64_t used[4]
    uint8_t heads[HEADS]


# Locks and directories lie apart from the cells, so that they stay in the processor's caches: 3.3 instead of 5 million/s.
cdef struct Shard:
    uint64_t *lock
    uint64_t *used
    uint8_t *heads
    Cell *cells


cdef struct Control:
    Header header
    uint64_t full
    uint64_t taken_over
    uint64_t lock
    uint64_t spare[5]
    uint64_t filters[FILTERS]
    uint64_t filter_used_s[FILTERS]
    uint64_t apart[2]


cdef void acquire(uint64_t *lock, uint64_t me, bint *taken_over) noexcept nogil
cdef Cell *find(const Shard *shard, uint64_t user) noexcept nogil
cdef Cell *more_of(const Shard *shard, const Cell *cell) noexcept nogil
cdef Event *find_event(const Shard *shard, Cell *cell, uint32_t tag) noexcept nogil
cdef Cell *claim(Shard *shard, uint64_t user) noexcept nogil
cdef uint8_t number_of(const Shard *shard, const Cell *cell) noexcept nogil
cdef void remove(Shard *shard, uint64_t user) noexcept nogil
cdef void repair(Shard *shard) noexcept nogil


cdef class FrequencyTable:
    cdef uint8_t[::1] _buffer
    cdef Control *_control
    cdef uint64_t *_locks
    cdef Directory *_directories
    cdef Cell *_cells
    cdef uint64_t _shard_count
    cdef uint32_t _expiry_s
    cdef uint32_t _horizon_s
    cdef uint64_t _me

    cdef inline Shard _shard(self, uint64_t number) noexcept nogil:
        cdef Shard shard
        shard.lock = &self._locks[number]
        shard.used = &self._directories[number].used[0]
        shard.heads = &self._directories[number].heads[0]
        shard.cells = &self._cells[number * CELLS]
        return shard

    cdef inline Shard _shard_of(self, uint64_t user) noexcept nogil:
        return self._shard((user >> 32) * self._shard_count >> 32)

    cdef Shard _locked(self, uint64_t user) noexcept nogil
