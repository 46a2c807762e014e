"""The table of frequency counters in shared memory: users in cells of one cache line, cells in locked shards.

A shard's lock is the process id of who holds it. A process that dies inside leaves the shard whole or with a cell that
nothing points to; who takes the lock over puts that right.
"""

from libc.errno cimport ESRCH, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset
from posix.signal cimport kill
from posix.types cimport pid_t
from posix.unistd cimport getpid

from core.shared_memory cimport (
    Header, add_and_fetch, attached, base_of, compare_and_swap, format_header, load_acquire, publish_header,
    store_release,
)


cdef extern from "<sched.h>" nogil:
    int sched_yield()


cdef uint64_t MAGIC = 0x77506672_65717565
cdef uint64_t VERSION = 1


cdef uint64_t shards_for(uint64_t capacity) noexcept:
    return (capacity + NOMINAL - 1) / NOMINAL


cdef uint64_t padded(uint64_t size) noexcept:
    """Rounded up to whole cache lines."""
    return (size + 63) & ~<uint64_t>63


cdef uint64_t bytes_for(uint64_t shards) noexcept:
    return sizeof(Control) + padded(shards * sizeof(uint64_t)) + padded(shards * sizeof(Directory)) + (
        shards * CELLS * sizeof(Cell)
    )


cdef bint is_dead(uint64_t owner, uint64_t me) noexcept nogil:
    """Whether a process is gone; one that had our own number is."""
    return owner == me or (kill(<pid_t>owner, 0) != 0 and errno == ESRCH)


cdef void acquire(uint64_t *lock, uint64_t me, bint *taken_over) noexcept nogil:
    """Take a lock, from a process that no longer lives too."""
    cdef uint64_t owner
    cdef int turns = 0
    while not compare_and_swap(lock, 0, me):
        turns += 1
        if turns % 64:
            continue
        sched_yield()
        owner = load_acquire(lock)
        if turns % 4096 == 0 and owner != 0 and is_dead(owner, me) and compare_and_swap(lock, owner, me):
            taken_over[0] = True
            return


cdef Cell *find(const Shard *shard, uint64_t user) noexcept nogil:
    """The first cell of a user, NULL if there is none."""
    cdef uint8_t number = shard.heads[user & 0xff]
    cdef int turns = 0
    while number and turns < CELLS:
        if shard.cells[number - 1].user == user:
            return <Cell *>&shard.cells[number - 1]
        number = shard.cells[number - 1].next
        turns += 1
    return NULL


cdef Cell *more_of(const Shard *shard, const Cell *cell) noexcept nogil:
    return <Cell *>&shard.cells[cell.more - 1] if cell.more else NULL


cdef Event *find_event(const Shard *shard, Cell *cell, uint32_t tag) noexcept nogil:
    cdef int i, turns = 0
    while cell != NULL and turns < MAX_CHAIN:
        for i in range(EVENTS):
            if cell.events[i].time_s and cell.events[i].tag == tag:
                return &cell.events[i]
        cell = more_of(shard, cell)
        turns += 1
    return NULL


cdef Cell *claim(Shard *shard, uint64_t user) noexcept nogil:
    """An empty cell of a shard, NULL if all are used. It is nobody's until it is linked."""
    cdef int word, bit
    cdef Cell *cell
    for word in range(4):
        if shard.used[word] == ~<uint64_t>0:
            continue
        for bit in range(64):
            if not shard.used[word] >> bit & 1 and word * 64 + bit < CELLS:
                shard.used[word] |= <uint64_t>1 << bit
                cell = &shard.cells[word * 64 + bit]
                memset(cell, 0, sizeof(Cell))
                cell.user = user
                return cell
    return NULL


cdef uint8_t number_of(const Shard *shard, const Cell *cell) noexcept nogil:
    return <uint8_t>(cell - shard.cells + 1)


cdef void set_free(Shard *shard, uint8_t number) noexcept nogil:
    shard.used[(number - 1) >> 6] &= ~(<uint64_t>1 << ((number - 1) & 63))


cdef void remove(Shard *shard, uint64_t user) noexcept nogil:
    """Take a user out: unlinked first, so that a death in between only leaves cells that nothing points to."""
    cdef uint8_t *link = &shard.heads[user & 0xff]
    cdef uint8_t number, more
    cdef int turns = 0
    while link[0] and shard.cells[link[0] - 1].user != user and turns < CELLS:
        link = &shard.cells[link[0] - 1].next
        turns += 1
    number = link[0]
    if not number or shard.cells[number - 1].user != user:
        return
    link[0] = shard.cells[number - 1].next
    turns = 0
    while number and turns < CELLS:
        more = shard.cells[number - 1].more
        memset(&shard.cells[number - 1], 0, sizeof(Cell))
        set_free(shard, number)
        number = more
        turns += 1


cdef void repair(Shard *shard) noexcept nogil:
    """Free what nothing points to, and cut what points into a circle or to a cell that is reached already."""
    cdef uint64_t used[4]
    cdef uint8_t *link
    cdef uint8_t *deeper
    cdef int head
    memset(used, 0, sizeof(used))
    for head in range(HEADS):
        link = &shard.heads[head]
        while link[0] and reach(used, link[0]):
            deeper = &shard.cells[link[0] - 1].more
            while deeper[0] and reach(used, deeper[0]):
                deeper = &shard.cells[deeper[0] - 1].more
            deeper[0] = 0
            link = &shard.cells[link[0] - 1].next
        link[0] = 0
    for head in range(4):
        shard.used[head] = used[head]


cdef bint reach(uint64_t *used, uint8_t number) noexcept nogil:
    """Mark a cell as pointed to; False if it was."""
    cdef uint64_t bit = <uint64_t>1 << ((number - 1) & 63)
    if used[(number - 1) >> 6] & bit:
        return False
    used[(number - 1) >> 6] |= bit
    return True


cdef class FrequencyTable:
    """Cells of up to 3 events by 64-bit user, chained where a user has more; 255 cells and 256 homes in a shard."""

    @staticmethod
    def required_bytes(capacity):
        """Return the buffer size for so many users with up to 3 messages each; some 95 bytes a user.

        Raises ValueError unless 0 < capacity <= 2^32.
        """
        if not 0 < capacity <= 1 << 32:
            raise ValueError(f"capacity must lie between 1 and 2^32, not {capacity}")
        return bytes_for(shards_for(capacity))

    @staticmethod
    def create(buffer, capacity, reservation_s=3_600, horizon_s=31 * 86_400):
        """Format a writable buffer of zeros, or one formatted before.

        reservation_s: how long a reservation holds that is neither committed nor released. horizon_s: how long anything is
        remembered. Raises ValueError if the buffer is too short.
        """
        cdef uint64_t size = FrequencyTable.required_bytes(capacity)
        cdef Header *header = base_of(buffer, size, "frequency table")
        format_header(header, size, size)
        header.parameters[0] = shards_for(capacity)
        header.parameters[1] = reservation_s
        header.parameters[2] = horizon_s
        publish_header(header, MAGIC, VERSION)

    def __cinit__(self, buffer):
        """Attach to a formatted buffer. Raises ValueError if it holds no table of this version."""
        self._buffer = buffer
        self._control = <Control *>attached(self._buffer, MAGIC, VERSION, "frequency table")
        self._shard_count = self._control.header.parameters[0]
        self._expiry_s = <uint32_t>self._control.header.parameters[1]
        self._horizon_s = <uint32_t>self._control.header.parameters[2]
        if self._control.header.size != bytes_for(self._shard_count):
            raise ValueError(f"this frequency table is damaged: {self._control.header.size} bytes")
        self._locks = <uint64_t *>(self._control + 1)
        self._directories = <Directory *>(<uint8_t *>self._locks + padded(self._shard_count * sizeof(uint64_t)))
        self._cells = <Cell *>(<uint8_t *>self._directories + padded(self._shard_count * sizeof(Directory)))
        self._me = <uint64_t>getpid()

    @property
    def capacity(self):
        """How many users with up to 3 messages each there is room for."""
        return self._shard_count * NOMINAL

    @property
    def used(self):
        """How many cells are used, by looking at all shards."""
        cdef uint64_t i, total = 0
        cdef int word, bit
        for i in range(self._shard_count):
            for word in range(4):
                for bit in range(64):
                    total += self._directories[i].used[word] >> bit & 1
        return total

    @property
    def full(self):
        """How many messages were held back since the table was made because their shard had no room."""
        return load_acquire(&self._control.full)

    @property
    def taken_over(self):
        """How many locks were taken over from dead processes."""
        return load_acquire(&self._control.taken_over)

    def recover(self):
        """Open all locks and repair all shards; only while no other process uses the table, ahead of any worker."""
        cdef uint64_t i
        cdef Shard shard
        self._control.lock = 0
        for i in range(self._shard_count):
            self._locks[i] = 0
            shard = self._shard(i)
            repair(&shard)

    def assign_filters(self, hashes, now_s):
        """Return the bit of each filter, new ones in the places of those longest unused; all workers get the same.

        hashes: 64-bit, not 0, of what a filter matches. Raises ValueError when 63 filters were in use within the horizon.
        """
        cdef bint dead = False
        cdef int bit
        places = []
        acquire(&self._control.lock, self._me, &dead)
        try:
            for wanted in hashes:
                known = [bit for bit in range(FILTERS) if self._control.filters[bit] == wanted]
                bit = known[0] if known else self._unused_filter(now_s)
                self._control.filters[bit] = wanted
                self._control.filter_used_s[bit] = now_s
                places.append(bit)
        finally:
            store_release(&self._control.lock, 0)
        return places

    def _unused_filter(self, now_s):
        free = [bit for bit in range(FILTERS) if self._control.filters[bit] == 0]
        gone = [bit for bit in range(FILTERS) if self._control.filter_used_s[bit] + self._horizon_s < now_s]
        if not free and not gone:
            raise ValueError(f"more than {FILTERS} different filters of frequency caps within {self._horizon_s} s")
        return free[0] if free else gone[0]

    def users(self, uint64_t shard_number):
        """Return the users of one shard, 0 to shard_count - 1, for copying and inspecting."""
        if shard_number >= self._shard_count:
            raise IndexError(shard_number)
        cdef Shard shard = self._shard(shard_number)
        cdef bint dead = False
        cdef uint8_t number
        found = []
        acquire(shard.lock, self._me, &dead)
        for head in range(HEADS):
            number = shard.heads[head]
            while number and len(found) <= CELLS:
                found.append(shard.cells[number - 1].user)
                number = shard.cells[number - 1].next
        store_release(shard.lock, 0)
        return found

    @property
    def reservation_s(self):
        """How long a reservation holds."""
        return self._expiry_s

    @property
    def horizon_s(self):
        """How long anything is remembered."""
        return self._horizon_s

    @property
    def shard_count(self):
        """How many shards there are."""
        return self._shard_count

    @property
    def filters(self):
        """The filters' hashes by bit, 0 for none, and when each was assigned last."""
        return [(self._control.filters[bit], self._control.filter_used_s[bit]) for bit in range(FILTERS)]

    def copy_filters(self, filters):
        """Take over another table's filters, in the form of `filters`, ahead of any worker."""
        for bit, (hashed, used_s) in enumerate(filters):
            self._control.filters[bit] = hashed
            self._control.filter_used_s[bit] = used_s

    cdef Shard _locked(self, uint64_t user) noexcept nogil:
        cdef Shard shard = self._shard_of(user)
        cdef bint dead = False
        acquire(shard.lock, self._me, &dead)
        if dead:
            add_and_fetch(&self._control.taken_over, 1)
            repair(&shard)
        return shard
