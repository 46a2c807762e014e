"""The table of token buckets in shared memory: where a key's slot is, and how slots come and go without a lock.

A key's slot is listed in the directory word of the key's home, and every change of a home is one compare-and-swap of
that word: two processes cannot both add one key. A slot's arrival time tells its state, and rises from owner to owner.
"""

from libc.stdint cimport uint8_t, uint64_t

from core.shared_memory cimport (
    Header, add_and_fetch, attached, base_of, compare_and_swap, format_header, load_acquire, publish_header,
    store_release,
)


cdef uint64_t MAGIC = 0x77506275_636b6574
cdef uint64_t VERSION = 1


cdef uint64_t regions_for(uint64_t capacity) noexcept:
    return (capacity + NOMINAL - 1) / NOMINAL


cdef uint64_t bytes_for(uint64_t regions, uint64_t max_rules) noexcept:
    return sizeof(Control) + (max_rules + 1) * sizeof(Slot) + regions * sizeof(Region)


cdef class BucketTable:
    """Slots by 64-bit key, in regions of 8 KiB: 256 homes of up to seven members, and 192 slots."""

    @staticmethod
    def required_bytes(capacity, max_rules=1024):
        """Return the buffer size for so many keys at once; 64 bytes per key, in regions of 128 with room to spare."""
        if not 0 < capacity <= 1 << 36:
            raise ValueError(f"capacity must lie between 1 and 2^36, not {capacity}")
        if not 0 < max_rules < 1 << 16:
            raise ValueError(f"max_rules must lie between 1 and 65535, not {max_rules}")
        return bytes_for(regions_for(capacity), max_rules)

    @staticmethod
    def create(buffer, capacity, max_rules=1024):
        """Format a writable buffer of zeros, or one formatted before, ahead of any worker.

        Raises ValueError if it is too short.
        """
        cdef uint64_t size = BucketTable.required_bytes(capacity, max_rules)
        cdef Header *header = base_of(buffer, size, "token bucket table")
        cdef Slot *shared = <Slot *>(<Control *>header + 1)
        cdef uint64_t rule
        format_header(header, size, size)
        header.parameters[0] = regions_for(capacity)
        header.parameters[1] = max_rules
        for rule in range(<uint64_t>max_rules + 1):
            shared[rule].key = rule
            shared[rule].tat = 1
        publish_header(header, MAGIC, VERSION)

    def __cinit__(self, buffer, *_):
        self._buffer = buffer
        self._control = <Control *>attached(self._buffer, MAGIC, VERSION, "token bucket table")
        self._region_count = self._control.header.parameters[0]
        self._max_rules = self._control.header.parameters[1]
        if self._control.header.size != bytes_for(self._region_count, self._max_rules):
            raise ValueError(f"this token bucket table is damaged: {self._control.header.size} bytes")
        self._shared = <Slot *>(self._control + 1)
        self._regions = <Region *>(self._shared + self._max_rules + 1)

    @property
    def capacity(self):
        return self._region_count * NOMINAL

    @property
    def used(self):
        """Slots that were ever taken and not found unneeded at once; full buckets among them are reused on demand."""
        return load_acquire(&self._control.used)

    @property
    def overflow(self):
        """How many takings since the table was made had to use a shared bucket, all workers together."""
        return load_acquire(&self._control.overflow)

    cdef Slot *_held(self, uint64_t key, uint64_t rule, uint64_t now_ns) noexcept nogil:
        """The slot of a key, made if need be; the rule's shared one if there is no room."""
        cdef Place place = place_of(self._regions, self._region_count, key)
        cdef uint64_t tat
        cdef Slot *slot = find_slot(&place, key, &tat)
        if slot == NULL:
            slot = self._insert(key, now_ns, max(now_ns, load_acquire(&self._shared[rule].tat)))
        if slot == NULL:
            add_and_fetch(&self._control.overflow, 1)
            return &self._shared[rule]
        return slot

    cdef Slot *_insert(self, uint64_t key, uint64_t now_ns, uint64_t start) noexcept nogil:
        """Publish a slot for a key by one swap of its home's directory word, which fails if anything changed there."""
        cdef Place place = place_of(self._regions, self._region_count, key)
        cdef uint64_t directory, tat, grown
        cdef Slot *slot
        while True:
            directory = load_acquire(place.home)
            slot = find_slot(&place, key, &tat)
            if slot != NULL:
                return slot
            if directory & MEMBERS >= MEMBERS_FULL:
                if not self._shrink(&place, now_ns):
                    return NULL
                continue
            slot = self._claim(place.region, key % SLOTS, now_ns)
            if slot == NULL:
                return NULL
            slot.key = key
            slot.busy_since = 0
            store_release(&slot.tat, start)
            grown = directory << 8 & MEMBERS | <uint64_t>(slot - place.region.slots + 1)
            if compare_and_swap(place.home, directory, (directory & ~MEMBERS) + VERSION_STEP | grown):
                return slot
            if compare_and_swap(&slot.tat, start, FREE):
                add_and_fetch(&self._control.used, -1)

    cdef Slot *_claim(self, Region *region, uint64_t first, uint64_t now_ns) noexcept nogil:
        """A slot of the region that nobody uses: free, or full again for so long that no process' clock doubts it.

        A worker killed while it holds a claim costs the table that one slot.
        """
        cdef uint64_t tat
        cdef int i
        cdef Slot *slot
        for i in range(SLOTS):
            slot = &region.slots[(first + i) % SLOTS]
            tat = load_acquire(&slot.tat)
            if tat == FREE and compare_and_swap(&slot.tat, FREE, CLAIMED):
                add_and_fetch(&self._control.used, 1)
                return slot
            if tat != FREE and tat != CLAIMED and tat + GRACE_NS <= now_ns and self._evict(slot, tat):
                return slot
        return NULL

    cdef bint _shrink(self, const Place *place, uint64_t now_ns) noexcept nogil:
        """Free one slot of a home whose directory word is full; False if all its buckets are in use."""
        cdef uint64_t rest = load_acquire(place.home) & MEMBERS
        cdef uint64_t tat
        cdef Slot *slot
        while rest:
            slot = &place.region.slots[(rest & 0xff) - 1]
            tat = load_acquire(&slot.tat)
            if tat != FREE and tat != CLAIMED and tat + GRACE_NS <= now_ns and self._evict(slot, tat):
                store_release(&slot.tat, FREE)
                add_and_fetch(&self._control.used, -1)
                return True
            rest >>= 8
        return False

    cdef bint _evict(self, Slot *slot, uint64_t tat) noexcept nogil:
        """Claim a full bucket's slot and take it out of its home; nobody can charge it from the first swap on."""
        cdef Place place
        cdef uint64_t directory, below, number
        cdef int shift
        if not compare_and_swap(&slot.tat, tat, CLAIMED):
            return False
        place = place_of(self._regions, self._region_count, slot.key)
        number = slot - place.region.slots + 1
        while True:
            directory = load_acquire(place.home)
            shift = 0
            while shift < 56 and directory >> shift & 0xff != number:
                shift += 8
            if shift == 56:
                return True
            below = directory & ((<uint64_t>1 << shift) - 1)
            below |= (directory & MEMBERS) >> (shift + 8) << shift
            if compare_and_swap(place.home, directory, (directory & ~MEMBERS) + VERSION_STEP | below):
                return True
