"""Layout of the token buckets in shared memory, and the way from a key to its slot."""

from libc.stdint cimport uint8_t, uint64_t

from core.shared_memory cimport Header, load_acquire, load_relaxed


cdef enum:
    HOMES = 256
    SLOTS = 192
    NOMINAL = 128

cdef extern from *:
    """
    // A directory word is (version << 56 | seven slot numbers of one byte, newest lowest, 0 for none).
    #define MEMBERS ((uint64_t)0xffffffffffffff)
    #define VERSION_STEP ((uint64_t)1 << 56)
    #define MEMBERS_FULL ((uint64_t)1 << 48)
    #define FREE ((uint64_t)0)
    #define CLAIMED (~(uint64_t)0)
    #define GRACE_NS ((uint64_t)1000000000)
    """
    const uint64_t MEMBERS
    const uint64_t VERSION_STEP
    const uint64_t MEMBERS_FULL
    const uint64_t FREE
    const uint64_t CLAIMED
    const uint64_t GRACE_NS


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


cdef struct Place:
    Region *region
    uint64_t *home


cdef inline Place place_of(Region *regions, uint64_t count, uint64_t key) noexcept nogil:
    cdef Place place
    cdef uint64_t mixed = (key ^ key >> 32) * <uint64_t>0x9e3779b97f4a7c15
    place.region = &regions[(mixed >> 32) * count >> 32]
    place.home = &place.region.directory[mixed >> 16 & (HOMES - 1)]
    return place


cdef inline Slot *find_slot(const Place *place, uint64_t key, uint64_t *tat) noexcept nogil:
    """The slot of a key and its arrival time, read before the key: if it still stands at the swap, so does the key."""
    cdef uint64_t directory = load_acquire(place.home)
    cdef uint64_t rest = directory & MEMBERS
    cdef Slot *slot
    while rest:
        slot = &place.region.slots[(rest & 0xff) - 1]
        tat[0] = load_acquire(&slot.tat)
        if load_relaxed(&slot.key) == key and tat[0] != CLAIMED and tat[0] != FREE:
            return slot
        rest >>= 8
    return NULL


cdef class BucketTable:
    cdef uint8_t[::1] _buffer
    cdef Control *_control
    cdef Slot *_shared
    cdef Region *_regions
    cdef uint64_t _region_count
    cdef uint64_t _max_rules

    cdef Slot *_held(self, uint64_t key, uint64_t rule, uint64_t now_ns) noexcept nogil
    cdef Slot *_insert(self, uint64_t key, uint64_t now_ns, uint64_t start) noexcept nogil
    cdef Slot *_claim(self, Region *region, uint64_t first, uint64_t now_ns) noexcept nogil
    cdef bint _shrink(self, const Place *place, uint64_t now_ns) noexcept nogil
    cdef bint _evict(self, Slot *slot, uint64_t tat) noexcept nogil
