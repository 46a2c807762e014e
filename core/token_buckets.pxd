"""Layout of the token buckets in shared memory."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t

from core.shared_memory cimport Header


cdef enum:
    HOMES = 256
    SLOTS = 192
    NOMINAL = 128
    MAX_COLUMNS = 16
    PLACES = 32
    RECENT = 256

cdef enum:
    DENIED = 0
    GRANTED = 1
    MOVED = 2

cdef extern from *:
    """
    // A directory word is (version << 56 | seven slot numbers of one byte, newest lowest, 0 for none).
    #define MEMBERS ((uint64_t)0xffffffffffffff)
    #define VERSION_STEP ((uint64_t)1 << 56)
    #define MEMBERS_FULL ((uint64_t)1 << 48)
    #define FREE ((uint64_t)0)
    #define CLAIMED (~(uint64_t)0)
    #define GRACE_NS ((uint64_t)1000000000)
    #define MAX_TOLERANCE_NS ((uint64_t)1 << 61)
    #define AHEAD 12
    """
    const uint64_t MEMBERS
    const uint64_t VERSION_STEP
    const uint64_t MEMBERS_FULL
    const uint64_t FREE
    const uint64_t CLAIMED
    const uint64_t GRACE_NS
    const uint64_t MAX_TOLERANCE_NS
    const Py_ssize_t AHEAD


cdef struct Slot:
    uint64_t key
    uint64_t tat
    uint64_t busy_since
    uint64_t spare


cdef struct Region:
    uint64_t directory[HOMES]
    Slot slots[SLOTS]


cdef struct Control:
    Header header
    uint64_t overflow
    uint64_t used
    uint64_t apart[6]


cdef struct Rule:
    uint64_t interval_ns
    uint64_t tolerance_ns


cdef struct Charge:
    Slot *slot
    uint64_t key
    uint64_t since
    uint64_t tat
    uint64_t next


cdef struct Place:
    Region *region
    uint64_t *home


cdef struct Batch:
    const uint64_t *keys
    const uint16_t *rules
    Py_ssize_t end
    Place places[PLACES]
    Slot *recent[RECENT]


cdef class TokenBuckets:
    cdef uint8_t[::1] _buffer
    cdef Control *_control
    cdef Slot *_shared
    cdef Region *_regions
    cdef uint64_t _region_count
    cdef Rule *_rules
    cdef Py_ssize_t _rule_count

    cdef Place _place(self, uint64_t key) noexcept nogil
    cdef Slot *_find(self, const Place *place, uint64_t key, uint64_t *tat) noexcept nogil
    cdef Slot *_insert(self, uint64_t key, uint64_t now_ns, uint64_t start) noexcept nogil
    cdef Slot *_claim(self, Region *region, uint64_t first, uint64_t now_ns) noexcept nogil
    cdef bint _shrink(self, const Place *place, uint64_t now_ns) noexcept nogil
    cdef bint _evict(self, Slot *slot, uint64_t tat) noexcept nogil
    cdef Slot *_held(self, uint64_t key, uint64_t rule, uint64_t now_ns) noexcept nogil
    cdef uint64_t _decide(self, Batch *batch, Py_ssize_t at, Py_ssize_t k, uint64_t now_ns) noexcept nogil
    cdef uint64_t _look(self, Batch *batch, Charge *charge, Py_ssize_t at, uint64_t now_ns) noexcept nogil
    cdef uint64_t _charge(self, Batch *batch, Charge *charge, Py_ssize_t at, uint64_t now_ns) noexcept nogil
    cdef void _undo(self, Charge *charges, const uint16_t *rules, Py_ssize_t count) noexcept nogil
    cdef bint _read(self, Charge *charge) noexcept nogil
    cdef bint _swap(self, Charge *charge, uint64_t now_ns) noexcept nogil
    cdef int _advance(self, Charge *charge, const Rule *rule, uint64_t now_ns, uint64_t *until) noexcept nogil
    cdef bint _refund(self, Slot *slot, uint64_t key, uint64_t interval_ns, uint64_t since) noexcept nogil
    cdef void _prefetch(self, Batch *batch, Py_ssize_t at) noexcept nogil
