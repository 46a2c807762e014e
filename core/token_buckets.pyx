"""Token buckets by key, shared by all workers of a host: each one arrival time of 64 bits moved by compare-and-swap.

No call waits for another process; a race or a kill may lose a token, and never grants one too many.
"""

from fractions import Fraction
from typing import NamedTuple

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from core.bucket_table cimport CLAIMED, FREE, BucketTable, Place, Slot, find_slot, place_of
from core.shared_memory cimport compare_and_swap, load_acquire, load_relaxed, prefetch


class Rate(NamedTuple):
    """A rule: so many tokens a second on average, at most burst of them at once."""

    per_s: int | Fraction
    burst: int


cdef Rule rule_of(object rate) except *:
    """The generic cell rate algorithm's two numbers, rounded so that no more than the rate is granted."""
    cdef Rule rule
    per_s = Fraction(rate.per_s)
    if per_s <= 0 or rate.burst < 1:
        raise ValueError(f"a rate needs per_s > 0 and burst >= 1, not {rate}")
    interval_ns = -(-1_000_000_000 * per_s.denominator // per_s.numerator)
    if interval_ns * rate.burst > MAX_TOLERANCE_NS:
        raise ValueError(f"the burst of {rate} takes longer to refill than a clock of 64-bit nanoseconds can tell")
    rule.interval_ns = interval_ns
    rule.tolerance_ns = interval_ns * rate.burst
    return rule


@cython.final
cdef class TokenBuckets(BucketTable):
    """Buckets under 64-bit keys, that come into being full and are forgotten when they are full again.

    A key of which the table has no room shares one bucket per rule with all such keys (conservative: together they get
    the rate of one), counted by overflow. A fresh bucket starts no fuller than that shared one.
    Source of the algorithm: the generic cell rate algorithm of ITU-T I.371, in its virtual scheduling form.
    """

    def __cinit__(self, buffer, rules):
        """Attach to a formatted buffer; rules: one Rate each, numbered from 1.

        Raises ValueError if the buffer holds no table of this version, or as set_rules does.
        """
        self.set_rules(rules)

    def __dealloc__(self):
        free(self._rules)

    def set_rules(self, rules):
        """Replace this process' rules; what the buckets hold stays.

        rules: one Rate each; number r in acquire_many means rules[r - 1].
        Raises ValueError for more rules than the buffer was made for, or a rate that is not positive.
        """
        cdef Py_ssize_t i, n = len(rules)
        cdef Rule *table
        cdef Rule rule
        if n > <Py_ssize_t>self._max_rules:
            raise ValueError(f"{n} rules, and the table was made for {self._max_rules}")
        table = <Rule *>malloc((n + 1) * sizeof(Rule))
        if table == NULL:
            raise MemoryError
        table[0].interval_ns = table[0].tolerance_ns = 0
        try:
            for i in range(n):
                rule = rule_of(rules[i])
                table[i + 1] = rule
        except BaseException:
            free(table)
            raise
        free(self._rules)
        self._rules = table
        self._rule_count = n

    def acquire_many(
        self,
        const uint64_t[::1] keys not None,
        const uint16_t[::1] rules not None,
        uint64_t now_ns,
        uint8_t[::1] granted not None,
        int64_t[::1] retry_at_ns not None,
    ):
        """Take one token of each of a message's k buckets, or none of them; return how many messages were granted.

        keys: n × k × uint64, row by row, hashes well spread. rules: n × k × uint16, 0 for no limit in this column.
        granted: n × uint8, 1 or 0. retry_at_ns: n × int64, when all its buckets could grant, 0 if granted.
        now_ns: monotonic, common to all processes; they should agree within a second.
        Raises ValueError if the lengths do not fit, k exceeds 16, or a rule is unknown.
        """
        cdef Py_ssize_t i, j, n = granted.shape[0]
        cdef Py_ssize_t k = keys.shape[0] / n if n else 0
        cdef Py_ssize_t total = 0
        cdef uint64_t retry_at
        cdef Batch batch
        if keys.shape[0] != n * k or not 0 <= k <= MAX_COLUMNS or retry_at_ns.shape[0] != n:
            raise ValueError(f"{keys.shape[0]} keys and {retry_at_ns.shape[0]} times for {n} messages")
        self._require(keys.shape[0], rules)
        batch.keys, batch.rules, batch.end = &keys[0] if n * k else NULL, &rules[0] if n * k else NULL, n * k
        memset(batch.recent, 0, sizeof(batch.recent))
        # The GIL stays: a batch takes less than 200 us, and taking it back from a busy thread may cost 5 ms.
        for j in range(-2 * AHEAD, 0):
            self._prefetch(&batch, j)
        for i in range(n):
            for j in range(i * k, i * k + k):
                self._prefetch(&batch, j)
            retry_at = self._decide(&batch, i * k, k, now_ns)
            retry_at_ns[i] = retry_at
            granted[i] = retry_at == 0
            total += retry_at == 0
        return total

    def give_back_many(self, const uint64_t[::1] keys not None, const uint16_t[::1] rules not None, uint64_t taken_ns):
        """Put tokens back that were taken and not used; return how many still mattered.

        keys, rules: m × uint64 and m × uint16, as granted. taken_ns: the now_ns they were taken at.
        A bucket that was full at any time since has made up for its token already and stays as it is.
        Raises ValueError if the lengths differ or a rule is unknown.
        """
        cdef Py_ssize_t i, m = keys.shape[0]
        cdef Py_ssize_t total = 0
        cdef uint64_t tat
        cdef Place place
        cdef Slot *slot
        self._require(m, rules)
        for i in range(m):
            if rules[i]:
                place = place_of(self._regions, self._region_count, keys[i])
                slot = find_slot(&place, keys[i], &tat)
                if slot != NULL:
                    total += self._refund(slot, keys[i], self._rules[rules[i]].interval_ns, taken_ns)
        return total

    def _require(self, Py_ssize_t n, const uint16_t[::1] rules):
        cdef Py_ssize_t i
        cdef uint16_t highest = 0
        if rules.shape[0] != n:
            raise ValueError(f"{rules.shape[0]} rules for {n} keys")
        for i in range(n):
            highest = max(highest, rules[i])
        if highest > self._rule_count:
            raise ValueError(f"rule {highest} of {self._rule_count}")

    cdef uint64_t _decide(self, Batch *batch, Py_ssize_t at, Py_ssize_t k, uint64_t now_ns) noexcept nogil:
        """Charge all k buckets and return 0, or none and return when the last of the empty ones has a token again.

        Looks at all before it charges any: only a race with another process makes it undo a charge.
        """
        cdef Charge charges[MAX_COLUMNS]
        cdef uint64_t until = 0
        cdef Py_ssize_t j
        for j in range(k):
            if batch.rules[at + j]:
                until = max(until, self._look(batch, &charges[j], at + j, now_ns))
        if until:
            return until
        for j in range(k):
            if batch.rules[at + j]:
                until = self._charge(batch, &charges[j], at + j, now_ns)
                if until:
                    self._undo(charges, batch.rules + at, j)
                    return until
        return 0

    cdef inline uint64_t _look(self, Batch *batch, Charge *charge, Py_ssize_t at, uint64_t now_ns) noexcept nogil:
        """Find a bucket and what to charge it; return when it has a token again, 0 if it has one."""
        cdef const Rule *rate = &self._rules[batch.rules[at]]
        cdef Place *place = &batch.places[at & (PLACES - 1)]
        charge.key = batch.keys[at]
        charge.slot = batch.recent[charge.key & (RECENT - 1)]
        if charge.slot == NULL or charge.slot.key != charge.key:
            if place.home == NULL:
                place[0] = place_of(self._regions, self._region_count, charge.key)
            charge.slot = find_slot(place, charge.key, &charge.tat)
        if charge.slot == NULL or not self._read(charge):
            charge.slot = NULL
            charge.tat = load_acquire(&self._shared[batch.rules[at]].tat)
        charge.next = max(charge.tat, now_ns) + rate.interval_ns
        return charge.next - rate.tolerance_ns if charge.next > now_ns + rate.tolerance_ns else 0

    cdef inline uint64_t _charge(self, Batch *batch, Charge *charge, Py_ssize_t at, uint64_t now_ns) noexcept nogil:
        """Charge a bucket, made if need be; return when it has a token again if it has none by now, otherwise 0.

        What was charged at now_ns is not evicted within the batch: it is remembered, and found without its home.
        """
        cdef uint64_t rule = batch.rules[at]
        cdef uint64_t until = 0
        if charge.slot != NULL and self._swap(charge, now_ns):
            batch.recent[charge.key & (RECENT - 1)] = charge.slot
            return 0
        while charge.slot == NULL or self._advance(charge, &self._rules[rule], now_ns, &until) == MOVED:
            charge.slot = self._held(batch.keys[at], rule, now_ns)
            charge.key = rule if charge.slot == &self._shared[rule] else batch.keys[at]
        if charge.slot != &self._shared[rule]:
            batch.recent[charge.key & (RECENT - 1)] = charge.slot
        return until

    cdef void _undo(self, Charge *charges, const uint16_t *rules, Py_ssize_t count) noexcept nogil:
        cdef Py_ssize_t j
        for j in range(count):
            if rules[j]:
                self._refund(
                    charges[j].slot, charges[j].key, self._rules[rules[j]].interval_ns, charges[j].since
                )

    cdef inline bint _read(self, Charge *charge) noexcept nogil:
        """Read a bucket before its key, so that a swap of what was read finds the same key; False if it moved on."""
        charge.since = load_acquire(&charge.slot.busy_since)
        charge.tat = load_acquire(&charge.slot.tat)
        return charge.tat != CLAIMED and charge.tat != FREE and load_relaxed(&charge.slot.key) == charge.key

    cdef inline bint _swap(self, Charge *charge, uint64_t now_ns) noexcept nogil:
        """Move an arrival time on. A bucket found full begins a busy time: nothing taken before can be given back."""
        if charge.tat < now_ns and charge.since < now_ns:
            if not compare_and_swap(&charge.slot.busy_since, charge.since, now_ns):
                return False
            charge.since = now_ns
        return compare_and_swap(&charge.slot.tat, charge.tat, charge.next)

    cdef int _advance(self, Charge *charge, const Rule *rule, uint64_t now_ns, uint64_t *until) noexcept nogil:
        while True:
            if not self._read(charge):
                return MOVED
            charge.next = max(charge.tat, now_ns) + rule.interval_ns
            if charge.next > now_ns + rule.tolerance_ns:
                until[0] = charge.next - rule.tolerance_ns
                return DENIED
            if self._swap(charge, now_ns):
                return GRANTED

    cdef bint _refund(self, Slot *slot, uint64_t key, uint64_t interval_ns, uint64_t since) noexcept nogil:
        """Move an arrival time back, unless the bucket has begun a busy time after since."""
        cdef uint64_t tat
        while True:
            tat = load_acquire(&slot.tat)
            if tat == CLAIMED or tat == FREE or load_relaxed(&slot.key) != key:
                return False
            if load_acquire(&slot.busy_since) > since:
                return False
            if compare_and_swap(&slot.tat, tat, max(tat, interval_ns + 1) - interval_ns):
                return True

    cdef inline void _prefetch(self, Batch *batch, Py_ssize_t at) noexcept nogil:
        """Fetch the directory word of a key two strides ahead, and the first slot of the one a stride ahead."""
        cdef Place *place
        cdef Slot *recent
        cdef uint64_t key, newest
        if at + 2 * AHEAD < batch.end and batch.rules[at + 2 * AHEAD]:
            place = &batch.places[at + 2 * AHEAD & (PLACES - 1)]
            key = batch.keys[at + 2 * AHEAD]
            recent = batch.recent[key & (RECENT - 1)]
            place.home = NULL
            if recent == NULL or recent.key != key:
                place[0] = place_of(self._regions, self._region_count, key)
                prefetch(place.home)
        if 0 <= at + AHEAD < batch.end and batch.rules[at + AHEAD]:
            place = &batch.places[at + AHEAD & (PLACES - 1)]
            newest = load_relaxed(place.home) & 0xff if place.home != NULL else 0
            if newest:
                prefetch(&place.region.slots[newest - 1])
