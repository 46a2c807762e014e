"""Frequency counters of millions of users, shared by all workers of a host: reserved, then committed or released."""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from core.frequency_table cimport (
    CELLS, EVENTS, FILTERS, MAX_CHAIN, Cell, Event, FrequencyTable, Shard, claim, find, find_event, more_of, number_of,
    remove, repair,
)
from core.shared_memory cimport add_and_fetch, prefetch, store_release


cdef uint64_t RESERVED = <uint64_t>1 << 63
cdef uint8_t NONE = 255
BLOCKED, GRANTED, KNOWN = 0, 1, 2
TABLE_FULL = 255
NEVER_S = 0xffffffff


@cython.final
cdef class FrequencyCounters(FrequencyTable):
    """Who was sent what when, 3 messages in a cache line: counted exactly, over any number of rules in one step.

    A user is a 64-bit keyed hash. A message is a 32-bit tag (of its notification) and a mask of the filters it met, bit b for
    filter b, frozen when it is reserved: rules may change their limits and windows afterwards. Times are whole Unix seconds, and
    a rolling window of p seconds holds what is at most p seconds old by them, so that it is never too short.
    """

    def reserve_many(
        self, const uint64_t[::1] users not None, const uint32_t[::1] tags not None, const uint64_t[::1] masks not None,
        const uint8_t[::1] bits not None, const uint16_t[::1] limits not None, const uint32_t[::1] since_s not None,
        const uint32_t[::1] until_s not None, uint32_t now_s,
        uint8_t[::1] granted not None, uint8_t[::1] blocking not None, uint32_t[::1] retry_at_s not None,
        bint peek=False,
    ):
        """Count each message against its k rules if all of them have room; return how many were granted.

        users, tags, masks, granted, blocking, retry_at_s: n each. bits, limits, since_s, until_s: n × k, row by row: the
        rule's filter bit, its limit, when its window began, and when the next one begins (0 for a rolling window). A column
        with bit 255 is no rule. granted: GRANTED; KNOWN if the tag is counted already; BLOCKED, then blocking is the first
        column without room and retry_at_s when all have room again (NEVER_S for a limit of 0), or blocking is TABLE_FULL.
        peek: reserves nothing. Raises ValueError if lengths differ, k exceeds 16 or a bit is above 62.
        """
        cdef Py_ssize_t i, n = users.shape[0], total = 0
        cdef Columns columns
        cdef Answer answer
        self._check(n, tags, masks, granted, blocking, retry_at_s)
        columns.k = self._columns(n, bits, limits, since_s, until_s)
        for i in range(n):
            self._prefetch(&users[0], i, n)
            if columns.k:
                columns.bits, columns.limits = &bits[i * columns.k], &limits[i * columns.k]
                columns.since_s, columns.until_s = &since_s[i * columns.k], &until_s[i * columns.k]
            answer = self._one(users[i], tags[i], masks[i], &columns, now_s, peek)
            granted[i], blocking[i], retry_at_s[i] = answer.granted, answer.blocking, answer.retry_at_s
            total += answer.granted != 0
        return total

    cdef Answer _one(
        self, uint64_t user, uint32_t tag, uint64_t mask, const Columns *columns, uint32_t now_s, bint peek
    ) noexcept nogil:
        cdef Shard shard = self._locked(user)
        cdef Answer answer = self._decide(&shard, find(&shard, user), tag, columns, now_s)
        cdef Event event
        if answer.granted == 1 and not peek:
            event.time_s, event.tag, event.mask = now_s, tag, mask | RESERVED
            if not self._add(&shard, user, &event, now_s):
                answer.granted, answer.blocking = 0, NONE
                add_and_fetch(&self._control.full, 1)
        store_release(shard.lock, 0)
        return answer

    def commit_many(
        self, const uint64_t[::1] users not None, const uint32_t[::1] tags not None, const uint64_t[::1] masks not None,
        uint32_t now_s,
    ):
        """Count what was sent, at now_s, also where the reservation has expired; return how many could be counted."""
        cdef Py_ssize_t i, n = users.shape[0], total = 0
        cdef Shard shard
        cdef Event *found
        cdef Event event
        if tags.shape[0] != n or masks.shape[0] != n:
            raise ValueError(f"{tags.shape[0]} tags and {masks.shape[0]} masks for {n} users")
        for i in range(n):
            self._prefetch(&users[0], i, n)
            shard = self._locked(users[i])
            found = find_event(&shard, find(&shard, users[i]), tags[i])
            if found != NULL:
                found.mask &= ~RESERVED
                found.time_s = now_s
                total += 1
            else:
                event.time_s, event.tag, event.mask = now_s, tags[i], masks[i] & ~RESERVED
                total += self._add(&shard, users[i], &event, now_s)
            store_release(shard.lock, 0)
        return total

    def release_many(self, const uint64_t[::1] users not None, const uint32_t[::1] tags not None):
        """Un-count messages that were not sent, reserved or committed; return how many were counted."""
        cdef Py_ssize_t i, n = users.shape[0], total = 0
        cdef Shard shard
        cdef Event *found
        if tags.shape[0] != n:
            raise ValueError(f"{tags.shape[0]} tags for {n} users")
        for i in range(n):
            self._prefetch(&users[0], i, n)
            shard = self._locked(users[i])
            found = find_event(&shard, find(&shard, users[i]), tags[i])
            if found != NULL:
                found.time_s = 0
                total += 1
            store_release(shard.lock, 0)
        return total

    def events_of(self, uint64_t user):
        """Return (time_s, tag, mask, reserved) of everything remembered of a user."""
        cdef Shard shard = self._locked(user)
        events = events_in(&shard, find(&shard, user))
        store_release(shard.lock, 0)
        return events

    def add_events(self, uint64_t user, events, uint32_t now_s):
        """Add what another table or user had, in the form of events_of; known tags stay as they are. Return how many fitted."""
        cdef Shard shard
        cdef Event event
        added = 0
        for time_s, tag, mask, reserved in events:
            event.time_s, event.tag, event.mask = time_s, tag, mask | (RESERVED if reserved else 0)
            shard = self._locked(user)
            if find_event(&shard, find(&shard, user), event.tag) == NULL:
                added += self._add(&shard, user, &event, now_s)
            store_release(shard.lock, 0)
        return added

    def forget(self, uint64_t user):
        """Remove everything remembered of a user; return how many messages it was."""
        cdef Shard shard = self._locked(user)
        count = len(events_in(&shard, find(&shard, user)))
        remove(&shard, user)
        store_release(shard.lock, 0)
        return count

    def _check(self, n, tags, masks, granted, blocking, retry_at_s):
        lengths = {len(tags), len(masks), len(granted), len(blocking), len(retry_at_s)}
        if lengths != {n}:
            raise ValueError(f"arrays of {sorted(lengths)} entries for {n} users")

    def _columns(
        self, Py_ssize_t n, const uint8_t[::1] bits, const uint16_t[::1] limits, const uint32_t[::1] since_s,
        const uint32_t[::1] until_s,
    ):
        cdef Py_ssize_t i, k = bits.shape[0] / n if n else 0
        if bits.shape[0] != n * k or not 0 <= k <= MAX_COLUMNS:
            raise ValueError(f"{bits.shape[0]} filter bits for {n} users")
        if limits.shape[0] != n * k or since_s.shape[0] != n * k or until_s.shape[0] != n * k:
            raise ValueError(f"arrays of different lengths for {n} users with {k} rules")
        for i in range(n * k):
            if FILTERS <= bits[i] != NONE:
                raise ValueError(f"filter bit {bits[i]} of {FILTERS}")
        return k

    cdef inline void _prefetch(self, const uint64_t *users, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
        """Fetch a shard's lock and head three strides ahead, its first cell two, and the next one, if need be, one."""
        cdef Shard shard
        cdef const Cell *cell
        cdef uint8_t number
        if at + 3 * AHEAD < end:
            shard = self._shard_of(users[at + 3 * AHEAD])
            prefetch(shard.lock)
            prefetch(&shard.heads[users[at + 3 * AHEAD] & 0xff])
        if at + 2 * AHEAD < end:
            shard = self._shard_of(users[at + 2 * AHEAD])
            number = shard.heads[users[at + 2 * AHEAD] & 0xff]
            if number:
                prefetch(&shard.cells[number - 1])
        if at + AHEAD < end:
            shard = self._shard_of(users[at + AHEAD])
            number = shard.heads[users[at + AHEAD] & 0xff]
            if number:
                cell = &shard.cells[number - 1]
                if cell.user != users[at + AHEAD] and cell.next:
                    prefetch(&shard.cells[cell.next - 1])

    cdef bint _live(self, const Event *event, uint32_t now_s) noexcept nogil:
        if event.time_s == 0 or <uint64_t>event.time_s + self._horizon_s < now_s:
            return False
        return not event.mask & RESERVED or <uint64_t>event.time_s + self._expiry_s >= now_s

    cdef Answer _decide(
        self, const Shard *shard, const Cell *cell, uint32_t tag, const Columns *columns, uint32_t now_s
    ) noexcept nogil:
        """Count what is live in each column's window, and say whether all have room."""
        cdef uint32_t counts[MAX_COLUMNS]
        cdef const Cell *first = cell
        cdef const Event *event
        cdef Answer answer
        cdef Py_ssize_t j
        cdef int i, turns = 0
        answer.granted, answer.blocking, answer.retry_at_s = 1, 0, 0
        memset(counts, 0, sizeof(counts))
        while cell != NULL and turns < MAX_CHAIN:
            for i in range(EVENTS):
                event = &cell.events[i]
                if not self._live(event, now_s):
                    continue
                if event.tag == tag:
                    answer.granted = 2
                    return answer
                for j in range(columns.k):
                    if columns.bits[j] != NONE and event.time_s >= columns.since_s[j]:
                        counts[j] += event.mask >> columns.bits[j] & 1
            cell = more_of(shard, cell)
            turns += 1
        for j in range(columns.k - 1, -1, -1):
            if columns.bits[j] != NONE and counts[j] >= columns.limits[j]:
                answer.granted, answer.blocking = 0, <uint8_t>j
                answer.retry_at_s = max(answer.retry_at_s, self._free_again(shard, first, columns, j, now_s))
        return answer

    cdef uint32_t _free_again(
        self, const Shard *shard, const Cell *cell, const Columns *columns, Py_ssize_t j, uint32_t now_s
    ) noexcept nogil:
        """When a full rule has room again: with the next window, or when enough of the oldest have left a rolling one."""
        cdef uint32_t newest[MAX_CHAIN * EVENTS]
        cdef uint32_t time_s
        cdef Py_ssize_t place, count = 0
        cdef int i, turns = 0
        if columns.limits[j] == 0:
            return 0xffffffff
        if columns.until_s[j]:
            return columns.until_s[j]
        while cell != NULL and turns < MAX_CHAIN:
            for i in range(EVENTS):
                time_s = cell.events[i].time_s
                if not self._live(&cell.events[i], now_s) or time_s < columns.since_s[j]:
                    continue
                if not cell.events[i].mask >> columns.bits[j] & 1:
                    continue
                place = count
                while place and newest[place - 1] < time_s:
                    newest[place] = newest[place - 1]
                    place -= 1
                newest[place] = time_s
                count += 1
            cell = more_of(shard, cell)
            turns += 1
        return newest[columns.limits[j] - 1] + (now_s - columns.since_s[j]) + 1

    cdef bint _add(self, Shard *shard, uint64_t user, const Event *event, uint32_t now_s) noexcept nogil:
        """Write an event where there is room, its time last since that makes it count; False if there is none."""
        cdef Event *place = self._room(shard, user, now_s)
        if place == NULL:
            self._sweep(shard, now_s)
            place = self._room(shard, user, now_s)
        if place == NULL:
            return False
        place.time_s = 0
        place.tag, place.mask = event.tag, event.mask
        place.time_s = event.time_s
        return True

    cdef Event *_room(self, Shard *shard, uint64_t user, uint32_t now_s) noexcept nogil:
        """A place for one more event of a user: what is no longer live, or in a new cell."""
        cdef Cell *cell = find(shard, user)
        cdef Cell *last = NULL
        cdef int i, turns = 0
        while cell != NULL:
            for i in range(EVENTS):
                if not self._live(&cell.events[i], now_s):
                    return &cell.events[i]
            last = cell
            cell = more_of(shard, cell)
            turns += 1
            if turns >= MAX_CHAIN:
                return NULL
        cell = claim(shard, user)
        if cell == NULL:
            return NULL
        if last != NULL:
            last.more = number_of(shard, cell)
        else:
            cell.next = shard.heads[user & 0xff]
            shard.heads[user & 0xff] = number_of(shard, cell)
        return &cell.events[0]

    cdef void _sweep(self, Shard *shard, uint32_t now_s) noexcept nogil:
        """Remove the users of whom nothing is live."""
        cdef Cell *cell
        cdef uint64_t user
        cdef int number, i, turns
        cdef bint live
        repair(shard)
        for number in range(CELLS):
            if not shard.used[number >> 6] >> (number & 63) & 1:
                continue
            user = shard.cells[number].user
            cell = find(shard, user)
            if cell != &shard.cells[number]:
                continue
            live, turns = False, 0
            while cell != NULL and not live and turns < MAX_CHAIN:
                for i in range(EVENTS):
                    live = live or self._live(&cell.events[i], now_s)
                cell = more_of(shard, cell)
                turns += 1
            if not live:
                remove(shard, user)


cdef list events_in(const Shard *shard, Cell *cell):
    cdef int i, turns = 0
    cdef Event event
    cdef list events = []
    while cell != NULL and turns < MAX_CHAIN:
        for i in range(EVENTS):
            event = cell.events[i]
            if event.time_s:
                events.append((event.time_s, event.tag, event.mask & ~RESERVED, event.mask & RESERVED != 0))
        cell = more_of(shard, cell)
        turns += 1
    return events
