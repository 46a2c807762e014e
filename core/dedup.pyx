"""The dedup window: which idempotency keys were accepted lately, shared by all workers of a host.

Entries are filled in private and become visible by one compare-and-swap of a chain's head: a worker killed at any
instruction leaves nothing or a whole reservation, and no reader ever waits.
"""

from enum import IntEnum

cimport cython
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from core.shared_memory cimport (
    Header, add_and_fetch, attached, base_of, compare_and_swap, fence_acquire, fence_release, format_header, load_acquire,
    load_relaxed, prefetch, publish_header, store_release,
)


cdef uint64_t MAGIC = 0x77504465_64757031
cdef uint64_t VERSION = 1


class Verdict(IntEnum):
    """What check_many says of one element."""

    NEW = 0
    DUPLICATE = 1
    CONFLICT = 2
    IN_FLIGHT = 3
    FULL = 4


@cython.final
cdef class DedupWindow:
    """Idempotency keys of the last window_ms, each with the fingerprint of its body and the id it was given.

    An entry is found for at least window_ms and at most one slice longer. Memory is a ring: a slice that ended gives
    its entries back whole, and a full ring refuses new keys and forgets no old one (each worker may keep one place of a
    slice unused). A worker that was stopped for longer than the window must not be resumed.
    """

    @staticmethod
    def required_bytes(capacity):
        """Return the buffer size for so many keys in the window and one slice; 72 to 80 bytes per key."""
        if not 0 < capacity < INDEX_MASK:
            raise ValueError(f"capacity must lie between 1 and {INDEX_MASK - 1}, not {capacity}")
        return bytes_for(capacity)

    @staticmethod
    def create(buffer, capacity, window_ms, slices=12):
        """Format a writable buffer of zeros, or one formatted before, ahead of any worker.

        Raises ValueError if it is too short or a slice would be shorter than 50 ms.
        """
        cdef uint64_t size = DedupWindow.required_bytes(capacity)
        cdef Header *header = base_of(buffer, size, "dedup window")
        if not 0 < slices < RING - 1 or window_ms < slices * MIN_SLICE_MS:
            raise ValueError(f"{window_ms} ms in {slices} slices: 1 to {RING - 2} of at least {MIN_SLICE_MS} ms")
        format_header(header, size - capacity * sizeof(Entry), size)
        # Places count from 1, so that a start which was never noted (0) shows.
        (<Control *>header).allocated = 1
        header.parameters[0] = capacity
        header.parameters[1] = slices
        header.parameters[2] = -(-window_ms // slices)
        publish_header(header, MAGIC, VERSION)

    @staticmethod
    def retire(buffer, int worker):
        """Void the uncommitted reservations of a dead worker, so that its keys need not wait for its return."""
        cdef Control *control = <Control *>attached(buffer, MAGIC, VERSION, "dedup window")
        if not 0 <= worker < WORKERS:
            raise ValueError(f"worker must lie between 0 and {WORKERS - 1}, not {worker}")
        add_and_fetch(&control.epochs[worker], 1)

    def __cinit__(self, buffer, int worker):
        """Attach to a formatted buffer as one worker.

        worker: 0 to 255, held by one process at a time. Reservations of its earlier life stay until begin(), which the
        first check_many calls by itself: restore the journal before.
        Raises ValueError if the buffer holds no window of this version.
        """
        if not 0 <= worker < WORKERS:
            raise ValueError(f"worker must lie between 0 and {WORKERS - 1}, not {worker}")
        self._buffer = buffer
        self._control = <Control *>attached(self._buffer, MAGIC, VERSION, "dedup window")
        self._capacity = self._control.header.parameters[0]
        self._slices = self._control.header.parameters[1]
        self._slice_ms = self._control.header.parameters[2]
        if self._capacity == 0 or self._control.header.size != bytes_for(self._capacity):
            raise ValueError(f"this dedup window is damaged: it names {self._capacity} keys")
        self._mask = heads_for(self._capacity) - 1
        self._heads = <uint64_t *>(self._control + 1)
        self._entries = <Entry *>(self._heads + self._mask + 1)
        self._worker = worker

    @property
    def capacity(self):
        return self._capacity

    @property
    def window_ms(self):
        """How long an entry is found at least: the window asked for, rounded up to whole slices."""
        return self._slices * self._slice_ms

    @property
    def used(self):
        """Entries of the ring in use, as of the last call that named a time."""
        cdef uint64_t current = load_acquire(&self._control.current)
        if current == 0:
            return 0
        start = self._control.starts[(current - self._slices) % RING] & SEQUENCE_MASK
        return load_acquire(&self._control.allocated) - start

    def begin(self):
        """Start a new epoch of this worker, voiding what its earlier life left uncommitted; return its number."""
        cdef uint64_t epoch = add_and_fetch(&self._control.epochs[self._worker], 1)
        self._owner = self._worker << 16 | (epoch & 0xffff)
        self._begun = True
        return epoch

    def check_many(
        self,
        const uint8_t[::1] keys not None,
        const uint64_t[::1] fingerprints not None,
        const uint8_t[::1] ids not None,
        uint64_t now_unix_ms,
        uint8_t[::1] verdicts not None,
        uint8_t[::1] found_ids not None,
        uint64_t[::1] positions not None,
    ):
        """Judge n keys and reserve the new ones for this worker; return how many were new.

        keys, ids, found_ids: n × 16 bytes; found_ids gets the first id of what was found, the element's own otherwise.
        fingerprints: n × uint64. verdicts: n × uint8, a Verdict each. positions: n × uint64, what commit_many and
        release_many take; 0 for what was not reserved.
        A repetition inside the batch is a DUPLICATE (or CONFLICT) of its first; IN_FLIGHT is reserved by another batch.
        Raises ValueError if the lengths differ.
        """
        cdef Py_ssize_t n = verdicts.shape[0]
        self._require(n, keys.shape[0], fingerprints.shape[0], ids.shape[0], now_unix_ms)
        if found_ids.shape[0] != n * 16 or positions.shape[0] != n:
            raise ValueError(f"{n} keys, {found_ids.shape[0]} bytes of found_ids, {positions.shape[0]} positions")
        if n == 0:
            return 0
        if not self._begun:
            self.begin()
        self._batch += 1
        self._advance(self._slice_of(now_unix_ms))
        # The GIL stays: a batch takes less than 100 us, and taking it back from a busy thread may cost 5 ms.
        return self._check_all(&keys[0], &fingerprints[0], &ids[0], n, &verdicts[0], &found_ids[0], &positions[0])

    def commit_many(self, uint64_t[::1] positions not None):
        """Make reservations permanent, after the journal has them; return how many were still held.

        positions: as check_many wrote them, zeros skipped. Fewer than reserved: this worker was declared dead.
        """
        return self._settle(positions, COMMITTED)

    def release_many(self, uint64_t[::1] positions not None):
        """Undo reservations, the journal having failed; return how many were still held.

        The keys are new again at once; their entries are reused when their slice ends.
        """
        return self._settle(positions, VOID)

    def restore_many(
        self,
        const uint8_t[::1] keys not None,
        const uint64_t[::1] fingerprints not None,
        const uint8_t[::1] ids not None,
        const uint64_t[::1] accepted_unix_ms not None,
    ):
        """Put accepted keys of the journal back, before begin(); return how many were missing.

        Shapes as in check_many. accepted_unix_ms: n × uint64, best in ascending order: an older one behind a newer may
        be kept as long as the newer. A dead worker's reservation under the same id becomes permanent; what the window
        has outlived is passed over. Raises ValueError if the lengths differ, OverflowError if the window is full.
        """
        cdef Py_ssize_t i, n = accepted_unix_ms.shape[0]
        cdef Py_ssize_t missing = 0
        cdef uint64_t latest = 0
        cdef int outcome
        cdef Claim claim
        for i in range(n):
            latest = max(latest, accepted_unix_ms[i])
        self._require(n, keys.shape[0], fingerprints.shape[0], ids.shape[0], latest)
        for i in range(n):
            memcpy(&claim.low, &keys[16 * i], 16)
            memcpy(&claim.id_low, &ids[16 * i], 16)
            claim.fingerprint, claim.kind = fingerprints[i], COMMITTED
            claim.label = self._slice_of(accepted_unix_ms[i])
            self._advance(claim.label)
            outcome = self._restore(&claim)
            if outcome == FULL:
                raise OverflowError(f"the dedup window holds {self._capacity} keys, the journal has more")
            missing += outcome == NEW
        return missing

    def frees_at_unix_ms(self, uint64_t now_unix_ms):
        """Return when the next slice that holds anything ends, and with it room appears."""
        self._advance(self._slice_of(now_unix_ms))
        cdef uint64_t number = self._oldest + 1
        cdef uint64_t start = self._control.starts[self._oldest % RING] & SEQUENCE_MASK
        while number <= self._slice and (self._control.starts[number % RING] & SEQUENCE_MASK) <= start:
            number += 1
        return (number - 1) * self._slice_ms

    def _require(self, n, keys, fingerprints, ids, now_unix_ms):
        if keys != n * 16 or fingerprints != n or ids != n * 16:
            raise ValueError(f"for {n} keys there are {keys} key bytes, {fingerprints} fingerprints, {ids} id bytes")
        if now_unix_ms > MAX_UNIX_MS:
            raise ValueError(f"{now_unix_ms} is no time in unix milliseconds")

    cdef Py_ssize_t _settle(self, uint64_t[::1] positions, uint64_t kind) noexcept nogil:
        cdef Py_ssize_t i, settled = 0
        cdef uint64_t index, label
        for i in range(positions.shape[0]):
            index = positions[i] & INDEX_MASK
            label = positions[i] & ~INDEX_MASK
            label |= self._owner
            if index < self._capacity and label != self._owner:
                settled += compare_and_swap(&self._entries[index].state, label | RESERVED << 24, label | kind << 24)
        return settled

    cdef inline uint64_t _slice_of(self, uint64_t unix_ms) noexcept nogil:
        # The offset keeps the oldest slice above 0, which labels nothing.
        return unix_ms / self._slice_ms + self._slices + 1

    cdef void _advance(self, uint64_t slice_number) noexcept nogil:
        """Move the shared time on, never back, and note where the ring of this moment ends."""
        cdef uint64_t current = load_acquire(&self._control.current)
        cdef uint64_t number
        while current < slice_number:
            number = max(current + 1, slice_number - self._slices)
            while number <= slice_number:
                open_slice(self._control, number)
                number += 1
            compare_and_swap(&self._control.current, current, slice_number)
            current = load_acquire(&self._control.current)
        self._slice = current
        self._oldest = current - self._slices
        self._limit = (load_acquire(&self._control.starts[self._oldest % RING]) & SEQUENCE_MASK) + self._capacity

    cdef Entry *_find(self, uint64_t link, const Claim *claim, Entry *seen) noexcept nogil:
        """The live entry of a key, copied whole into seen; chains run from new to old, so the first old link ends them.

        A state whose label is not its link's is of a later life of the entry: all behind it is older than the window.
        """
        cdef Entry *entry
        cdef int hops = MAX_HOPS
        while link >> LABEL_SHIFT >= self._oldest and hops:
            entry = &self._entries[link & INDEX_MASK]
            seen.state = load_acquire(&entry.state)
            memcpy(&seen.next, &entry.next, sizeof(Entry) - sizeof(uint64_t))
            fence_acquire()
            if (load_relaxed(&entry.state) ^ link) >> LABEL_SHIFT or (seen.state ^ link) >> LABEL_SHIFT:
                return NULL
            if seen.low == claim.low and seen.high == claim.high and kind_of(seen.state) != VOID:
                return entry
            link = seen.next
            hops -= 1
        return NULL

    cdef int _judge(self, Entry *entry, const Entry *seen, uint64_t fingerprint) noexcept nogil:
        """The verdict on a key that was found, or NEW if its reservation was a dead worker's and is void now."""
        cdef uint64_t owner = seen.state & OWNER_MASK
        cdef uint64_t label = seen.state & ~INDEX_MASK
        if kind_of(seen.state) == RESERVED:
            if owner != self._owner and not alive(self._control, owner):
                compare_and_swap(&entry.state, seen.state, label | VOID << 24 | owner)
                return NEW
            if owner != self._owner or seen.batch != self._batch:
                return IN_FLIGHT
        return DUPLICATE if seen.fingerprint == fingerprint else CONFLICT

    cdef bint _allocate(self, uint64_t *sequence) noexcept nogil:
        """Take the next place of the ring, or the one that a lost race left over."""
        if self._spare and self._spare_slice == self._slice:
            sequence[0] = self._spare - 1
            self._spare = 0
            return True
        sequence[0] = load_acquire(&self._control.allocated)
        while sequence[0] < self._limit:
            if compare_and_swap(&self._control.allocated, sequence[0], sequence[0] + 1):
                return True
            sequence[0] = load_acquire(&self._control.allocated)
        return False

    cdef uint64_t _fill(self, uint64_t sequence, const Claim *claim, uint64_t next) noexcept nogil:
        """Write an entry that nobody can reach yet; return its link."""
        cdef uint64_t index = sequence % self._capacity
        cdef Entry *entry = &self._entries[index]
        entry.state = 0
        fence_release()
        entry.next = next
        entry.low = claim.low
        entry.high = claim.high
        entry.fingerprint = claim.fingerprint
        entry.id_low = claim.id_low
        entry.id_high = claim.id_high
        entry.batch = self._batch
        store_release(&entry.state, claim.label << LABEL_SHIFT | claim.kind << 24 | self._owner)
        return claim.label << LABEL_SHIFT | index

    cdef int _push(self, const Claim *claim, uint64_t head, uint64_t *position) noexcept nogil:
        """Put a key at the head of its chain: NEW, FULL, or IN_FLIGHT when another one came first.

        The label never falls below the head's, and the place is taken no earlier than the label's slice began: chains
        stay in order, and no place is given back while its entry lives.
        """
        cdef Claim placed = claim[0]
        cdef uint64_t sequence
        placed.label = max(placed.label, head >> LABEL_SHIFT)
        if placed.label > self._slice:
            self._advance(placed.label)
        if not self._allocate(&sequence):
            return FULL
        position[0] = self._fill(sequence, &placed, head)
        if compare_and_swap(&self._heads[claim.low & self._mask], head, position[0]):
            return NEW
        self._spare = sequence + 1
        self._spare_slice = self._slice
        return IN_FLIGHT

    cdef Py_ssize_t _check_all(
        self, const uint8_t *keys, const uint64_t *fingerprints, const uint8_t *ids, Py_ssize_t n,
        uint8_t *verdicts, uint8_t *found_ids, uint64_t *positions,
    ) noexcept nogil:
        cdef Py_ssize_t i, fresh = 0
        cdef Claim claim
        cdef Entry seen
        for i in range(-2 * AHEAD, 0):
            self._prefetch(keys, i, n)
        for i in range(n):
            self._prefetch(keys, i, n)
            memcpy(&claim.low, keys + 16 * i, 16)
            memcpy(&claim.id_low, ids + 16 * i, 16)
            claim.fingerprint, claim.label, claim.kind = fingerprints[i], self._slice, RESERVED
            verdicts[i] = self._check(&claim, &positions[i], &seen)
            fresh += verdicts[i] == NEW
            if verdicts[i] == NEW or verdicts[i] == FULL:
                memcpy(found_ids + 16 * i, ids + 16 * i, 16)
            else:
                memcpy(found_ids + 16 * i, &seen.id_low, 16)
        return fresh

    cdef int _check(self, const Claim *claim, uint64_t *position, Entry *seen) noexcept nogil:
        cdef uint64_t head
        cdef Entry *entry
        cdef int verdict
        while True:
            position[0] = 0
            head = load_acquire(&self._heads[claim.low & self._mask])
            entry = self._find(head, claim, seen)
            verdict = self._judge(entry, seen, claim.fingerprint) if entry else self._push(claim, head, position)
            if verdict == FULL:
                position[0] = 0
            if entry == NULL and verdict != IN_FLIGHT or entry and verdict != NEW:
                return verdict

    cdef int _restore(self, const Claim *claim) noexcept nogil:
        """NEW if the key was put back, FULL, or DUPLICATE if there was nothing to do."""
        cdef uint64_t head, position, label, owner
        cdef Entry *entry
        cdef Entry seen
        cdef int outcome
        while claim.label >= self._oldest:
            head = load_acquire(&self._heads[claim.low & self._mask])
            entry = self._find(head, claim, &seen)
            if entry == NULL:
                outcome = self._push(claim, head, &position)
                if outcome != IN_FLIGHT:
                    return outcome
                continue
            if kind_of(seen.state) == COMMITTED:
                return DUPLICATE
            label, owner = seen.state & ~INDEX_MASK, seen.state & OWNER_MASK
            if seen.id_low == claim.id_low and seen.id_high == claim.id_high:
                compare_and_swap(&entry.state, seen.state, label | COMMITTED << 24 | owner)
            elif alive(self._control, owner) and (owner >> 16 != self._worker or self._begun):
                return DUPLICATE
            else:
                compare_and_swap(&entry.state, seen.state, label | VOID << 24 | owner)
        return DUPLICATE

    cdef inline void _prefetch(self, const uint8_t *keys, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
        """Fetch the chain head of an element two strides ahead, and the first entry of the one a stride ahead."""
        cdef uint64_t low, link
        if i + 2 * AHEAD < n:
            memcpy(&low, keys + 16 * (i + 2 * AHEAD), 8)
            prefetch(&self._heads[low & self._mask])
        if 0 <= i + AHEAD < n:
            memcpy(&low, keys + 16 * (i + AHEAD), 8)
            link = load_relaxed(&self._heads[low & self._mask])
            if link >> LABEL_SHIFT >= self._oldest:
                prefetch(&self._entries[link & INDEX_MASK])
