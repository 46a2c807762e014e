"""The fan-out: what waits to be sent, in lanes by route and priority, shared between the flows of a lane.

Items are slots: numbers under which the caller keeps its objects. Nothing is allocated per item.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from core.errors import Overloaded

NEVER = NEVER_NS
RETRY_AFTER_MS = 1_000


class FanoutFull(Overloaded):
    """There are fewer free slots than asked for."""

    def __init__(self, available):
        super().__init__("the fan-out", RETRY_AFTER_MS)
        self.available = available


cdef inline uint32_t lane_of(uint32_t route, uint32_t priority) noexcept nogil:
    return route * PRIORITIES + priority


@cython.final
cdef class Fanout:
    """Lanes of slots: strict priority between the classes of a route, deficit round robin between the flows of a lane.

    A slot is unused, held by the caller (allocated or pulled) or queued. Flows exist while they hold anything; beyond
    max_flows new ones join another flow of their lane: fairness suffers then, and nothing else.
    Source of the algorithm: Shreedhar and Varghese, Efficient Fair Queueing Using Deficit Round Robin (1995).
    """

    def __cinit__(self, capacity, batch_size=500, linger_ns=0, *, quantum=16, max_flows=65_536):
        """capacity: slots at most; memory grows with use, 32 bytes a slot.

        batch_size and linger_ns say when ready_ns calls a batch worth pulling; priorities 0 and 1 never linger.
        quantum: items that a flow of weight 1 sends in its turn. Raises ValueError for values out of range.
        """
        if not 0 < capacity <= MAX_CAPACITY:
            raise ValueError(f"capacity must lie between 1 and {MAX_CAPACITY}, not {capacity}")
        if not 0 < quantum <= 65_536 or not 0 < max_flows <= 1 << 26:
            raise ValueError(f"quantum {quantum} or max_flows {max_flows} is out of range")
        self._require_batch(batch_size, linger_ns)
        self._capacity, self._max_flows, self._quantum = capacity, max_flows, quantum
        self._batch_size, self._linger_ns = batch_size, linger_ns
        self._node_free = self._flow_free = NONE
        self._chain_mask = 63
        self._chains = <uint32_t *>calloc(64, sizeof(uint32_t))
        if self._chains == NULL:
            raise MemoryError
        memset(self._chains, 0xff, 64 * sizeof(uint32_t))

    def __dealloc__(self):
        free(self._nodes)
        free(self._flows)
        free(self._chains)
        free(self._routes)

    @property
    def capacity(self):
        return self._capacity

    @property
    def in_use(self):
        """Slots that are held or queued."""
        return self._in_use

    @property
    def flows(self):
        """Flows that hold anything."""
        return self._flow_count

    def set_route(self, uint16_t route, batch_size, linger_ns):
        """Give one route its own batch size and linger."""
        self._require_batch(batch_size, linger_ns)
        self._grow_routes(route + 1)
        self._routes[route].batch_size = batch_size
        self._routes[route].linger_ns = linger_ns

    def allocate_many(self, uint32_t n, uint32_t[::1] out not None):
        """Take n unused slots, written to the head of out; all or none.

        Raises FanoutFull if there are fewer, ValueError if out is shorter than n.
        """
        cdef uint32_t i
        if <uint64_t>out.shape[0] < n:
            raise ValueError(f"out has room for {out.shape[0]} slots of {n}")
        if n > self._capacity - self._in_use:
            raise FanoutFull(self._capacity - self._in_use)
        self._grow_nodes(<uint64_t>self._in_use + n)
        for i in range(n):
            if self._node_free != NONE:
                out[i] = self._node_free
                self._node_free = self._nodes[out[i]].next
            else:
                out[i] = self._node_fresh
                self._node_fresh += 1
            self._nodes[out[i]].flow = HELD
            self._nodes[out[i]].weight = 0
        self._in_use += n

    def free_many(self, const uint32_t[::1] slots not None):
        """Give held slots back. Raises ValueError, having freed none, if one is queued, unused or named twice."""
        cdef Py_ssize_t i
        self._choose(slots, UNUSED)
        for i in range(slots.shape[0] - 1, -1, -1):
            self._nodes[slots[i]].next = self._node_free
            self._node_free = slots[i]
        self._in_use -= <uint32_t>slots.shape[0]

    def push_many(
        self,
        const uint32_t[::1] slots not None,
        const uint16_t[::1] routes not None,
        const uint8_t[::1] priorities not None,
        const uint64_t[::1] flows not None,
        int64_t now_ns,
        const uint8_t[::1] weights=None,
    ):
        """Queue held slots, each at the tail of its flow.

        Parallel arrays of n: slots uint32, routes uint16, priorities uint8 (0 to 7, 0 first), flows uint64,
        weights uint8 (1 to 255; all 1 without it); a flow has the weight of its last push.
        Raises ValueError, having queued none, if lengths differ, a priority or weight is out of range, or a slot is not held.
        """
        cdef Py_ssize_t i, n = slots.shape[0]
        cdef uint32_t top = 0
        cdef uint32_t lane, flow = NONE
        cdef Node *node
        if routes.shape[0] != n or priorities.shape[0] != n or flows.shape[0] != n:
            raise ValueError(f"{routes.shape[0]} routes, {priorities.shape[0]} priorities, {flows.shape[0]} flows, {n} slots")
        if weights is not None and weights.shape[0] != n:
            raise ValueError(f"{weights.shape[0]} weights for {n} slots")
        for i in range(n):
            if priorities[i] >= PRIORITIES or weights is not None and weights[i] == 0:
                raise ValueError(f"element {i}: priorities go from 0 to 7, weights from 1 to 255")
            top = max(top, routes[i])
        self._grow_routes(top + 1)
        self._grow_flows(<uint64_t>self._flow_count + n)
        self._choose(slots, HELD)
        for i in range(n):
            node = &self._nodes[slots[i]]
            node.route, node.priority, node.key, node.queued_ns = routes[i], priorities[i], flows[i], now_ns
            node.weight = 1 if weights is None else weights[i]
            lane = lane_of(node.route, node.priority)
            if flow == NONE or self._flows[flow].key != node.key or self._flows[flow].lane != lane:
                flow = self._open(lane, node.key, node.weight)
            self._flows[flow].weight = node.weight
            self._append(flow, slots[i])

    def pull(
        self, uint16_t route, uint32_t max_count, int64_t now_ns, uint32_t[::1] out not None, uint8_t max_priority=7
    ):
        """Take the next batch of one route into out; return its size, 0 if nothing may be sent now.

        Priorities in order up to max_priority, each drained before the next; flows of one in turns, skipping paused ones.
        The slots are held then: give them back, push them again, or free them. Raises ValueError if out is too short.
        """
        cdef uint32_t taken = 0
        cdef int priority
        cdef Lane *lane
        if <uint64_t>out.shape[0] < max_count:
            raise ValueError(f"out has room for {out.shape[0]} slots of {max_count}")
        if route >= self._route_room or max_count == 0:
            return 0
        for priority in range(min(max_priority + 1, PRIORITIES)):
            lane = &self._routes[route].lanes[priority]
            self._resume(lane, now_ns)
            taken += self._serve(lane, max_count - taken, &out[0] + taken)
        return taken

    def give_back_many(self, const uint32_t[::1] slots not None):
        """Return pulled slots to the heads of their flows, in the order given.

        Raises ValueError, having returned none, if one is not held or was never queued.
        """
        cdef Py_ssize_t i
        cdef Node *node
        for i in range(slots.shape[0]):
            if slots[i] < self._node_fresh and self._nodes[slots[i]].weight == 0:
                raise ValueError(f"slot {slots[i]} was never queued")
        self._grow_flows(<uint64_t>self._flow_count + slots.shape[0])
        self._choose(slots, HELD)
        for i in range(slots.shape[0] - 1, -1, -1):
            node = &self._nodes[slots[i]]
            self._prepend(self._open(lane_of(node.route, node.priority), node.key, node.weight), slots[i])

    def remove(self, uint32_t slot):
        """Take a slot out of its flow; False if it was not queued. The slot is held then."""
        cdef Node *node
        cdef Flow *flow
        cdef uint32_t number
        if slot >= self._node_fresh or self._nodes[slot].flow >= CHOSEN:
            return False
        node = &self._nodes[slot]
        number = node.flow
        flow = &self._flows[number]
        if node.prev == NONE:
            flow.head = node.next
        else:
            self._nodes[node.prev].next = node.next
        if node.next == NONE:
            flow.tail = node.prev
        else:
            self._nodes[node.next].prev = node.prev
        flow.count -= 1
        self._count(flow, -1)
        node.flow = HELD
        if flow.count == 0:
            self._close(number)
        return True

    def pause_flow(self, uint16_t route, uint8_t priority, uint64_t flow, int64_t until_ns):
        """Skip a flow until a time; False if it holds nothing, and then nothing is remembered: give back first, then pause."""
        cdef uint32_t number = NONE
        cdef Flow *paused
        cdef Lane *lane
        if route < self._route_room and priority < PRIORITIES:
            number = self._find(lane_of(route, priority), flow)
        if number == NONE:
            return False
        lane = &self._routes[route].lanes[priority]
        paused = &self._flows[number]
        if paused.paused_until_ns == 0:
            self._unlink(&lane.active, number)
            self._link(&lane.paused, number)
            lane.ready -= paused.count
            lane.waiting += paused.count
        paused.paused_until_ns = max(until_ns, 1)
        paused.allowance = 0
        lane.resume_ns = min(lane.resume_ns, paused.paused_until_ns)
        return True

    def ready_ns(self, uint16_t route, int64_t now_ns):
        """Return the earliest time when pull yields what is worth a call; now_ns if it does already, NEVER if all is empty.

        Worth it are a full batch, anything of priority 0 or 1, and anything that has waited linger_ns.
        """
        cdef int64_t ready = NEVER_NS
        cdef uint32_t together = 0
        cdef int priority
        cdef Route *lanes
        cdef Lane *lane
        if route >= self._route_room:
            return NEVER_NS
        lanes = &self._routes[route]
        for priority in range(PRIORITIES):
            lane = &lanes.lanes[priority]
            self._resume(lane, now_ns)
            together += lane.ready
            if together >= lanes.batch_size or lane.ready and priority < LINGERING:
                return now_ns
            if lane.ready:
                ready = min(ready, self._oldest(lane.active) + lanes.linger_ns)
            ready = min(ready, lane.resume_ns)
        return max(ready, now_ns)

    def depth(self, uint16_t route, uint8_t priority):
        """How many slots wait in a lane, paused flows included."""
        if route >= self._route_room or priority >= PRIORITIES:
            return 0
        return self._routes[route].lanes[priority].ready + self._routes[route].lanes[priority].waiting

    def oldest_ns(self, uint16_t route, uint8_t priority):
        """Since when the longest waiting slot of a lane is queued; 0 if the lane is empty. Looks at every flow's head."""
        if self.depth(route, priority) == 0:
            return 0
        cdef Lane *lane = &self._routes[route].lanes[priority]
        return min(self._oldest(lane.active), self._oldest(lane.paused))

    def _require_batch(self, batch_size, linger_ns):
        if not 0 < batch_size < 1 << 31 or not 0 <= linger_ns < 1 << 62:
            raise ValueError(f"batch_size {batch_size} or linger_ns {linger_ns} is out of range")

    cdef int _grow_nodes(self, uint64_t needed) except -1:
        cdef uint64_t room = max(self._node_room, 1024)
        cdef void *grown
        if needed <= self._node_room:
            return 0
        while room < needed:
            room *= 2
        room = min(room, self._capacity)
        grown = realloc(self._nodes, room * sizeof(Node))
        if grown == NULL:
            raise MemoryError
        self._nodes, self._node_room = <Node *>grown, <uint32_t>room
        return 0

    cdef int _grow_flows(self, uint64_t needed) except -1:
        """Make room for flows, and one chain per flow, the chains built anew."""
        cdef uint64_t room = max(self._flow_room, 64)
        cdef uint32_t i
        cdef uint32_t *chain
        cdef void *grown
        if needed <= self._flow_room:
            return 0
        while room < needed:
            room *= 2
        grown = realloc(self._flows, room * sizeof(Flow))
        if grown == NULL:
            raise MemoryError
        self._flows, self._flow_room = <Flow *>grown, <uint32_t>room
        grown = realloc(self._chains, room * sizeof(uint32_t))
        if grown == NULL:
            raise MemoryError
        self._chains, self._chain_mask = <uint32_t *>grown, <uint32_t>room - 1
        memset(self._chains, 0xff, room * sizeof(uint32_t))
        for i in range(self._flow_fresh):
            if self._flows[i].count:
                chain = self._chain(self._flows[i].lane, self._flows[i].key)
                self._flows[i].chain = chain[0]
                chain[0] = i
        return 0

    cdef int _grow_routes(self, uint32_t needed) except -1:
        cdef uint32_t room = max(self._route_room, 8)
        cdef uint32_t i
        cdef int priority
        cdef void *grown
        if needed <= self._route_room:
            return 0
        while room < needed:
            room *= 2
        grown = realloc(self._routes, room * sizeof(Route))
        if grown == NULL:
            raise MemoryError
        self._routes = <Route *>grown
        for i in range(self._route_room, room):
            memset(&self._routes[i], 0, sizeof(Route))
            self._routes[i].batch_size, self._routes[i].linger_ns = self._batch_size, self._linger_ns
            for priority in range(PRIORITIES):
                self._routes[i].lanes[priority].active = self._routes[i].lanes[priority].paused = NONE
                self._routes[i].lanes[priority].resume_ns = NEVER_NS
        self._route_room = room
        return 0

    cdef int _choose(self, const uint32_t[::1] slots, uint32_t state) except -1:
        """Check that all slots are held and none named twice, then give all of them a state."""
        cdef Py_ssize_t i, good = 0
        while good < slots.shape[0] and slots[good] < self._node_fresh and self._nodes[slots[good]].flow == HELD:
            self._nodes[slots[good]].flow = CHOSEN
            good += 1
        for i in range(good):
            self._nodes[slots[i]].flow = state if good == slots.shape[0] else HELD
        if good < slots.shape[0]:
            raise ValueError(f"slot {slots[good]} is not held, or named twice")
        return 0

    cdef inline Lane *_lane(self, uint32_t number) noexcept nogil:
        return &self._routes[number / PRIORITIES].lanes[number % PRIORITIES]

    cdef inline uint32_t *_chain(self, uint32_t lane, uint64_t key) noexcept nogil:
        cdef uint64_t mixed = (key ^ key >> 32 ^ <uint64_t>lane << 40) * <uint64_t>0x9e3779b97f4a7c15
        return &self._chains[mixed >> 32 & self._chain_mask]

    cdef uint32_t _find(self, uint32_t lane, uint64_t key) noexcept nogil:
        cdef uint32_t number = self._chain(lane, key)[0]
        while number != NONE and (self._flows[number].key != key or self._flows[number].lane != lane):
            number = self._flows[number].chain
        return number

    cdef uint32_t _open(self, uint32_t lane_number, uint64_t key, uint32_t weight) noexcept nogil:
        """The flow of a key, made if need be; beyond max_flows another one of the lane, if it has any."""
        cdef uint32_t number = self._find(lane_number, key)
        cdef Lane *lane = self._lane(lane_number)
        cdef uint32_t *chain
        if number != NONE:
            return number
        if self._flow_count >= self._max_flows and (lane.active != NONE or lane.paused != NONE):
            return self._flows[lane.active].prev if lane.active != NONE else lane.paused
        number = self._flow_free
        if number != NONE:
            self._flow_free = self._flows[number].next
        else:
            number = self._flow_fresh
            self._flow_fresh += 1
        memset(&self._flows[number], 0, sizeof(Flow))
        self._flows[number].key, self._flows[number].lane, self._flows[number].weight = key, lane_number, weight
        self._flows[number].head = self._flows[number].tail = NONE
        chain = self._chain(lane_number, key)
        self._flows[number].chain = chain[0]
        chain[0] = number
        self._link(&lane.active, number)
        self._flow_count += 1
        return number

    cdef void _close(self, uint32_t number) noexcept nogil:
        cdef Flow *flow = &self._flows[number]
        cdef Lane *lane = self._lane(flow.lane)
        cdef uint32_t *chain = self._chain(flow.lane, flow.key)
        while chain[0] != number:
            chain = &self._flows[chain[0]].chain
        chain[0] = flow.chain
        self._unlink(&lane.paused if flow.paused_until_ns else &lane.active, number)
        if lane.paused == NONE:
            lane.resume_ns = NEVER_NS
        flow.next = self._flow_free
        self._flow_free = number
        self._flow_count -= 1

    cdef void _link(self, uint32_t *ring, uint32_t number) noexcept nogil:
        """Put a flow last in a ring: before the one whose turn it is."""
        cdef Flow *flow = &self._flows[number]
        if ring[0] == NONE:
            ring[0] = flow.next = flow.prev = number
            return
        flow.next = ring[0]
        flow.prev = self._flows[ring[0]].prev
        self._flows[flow.prev].next = number
        self._flows[flow.next].prev = number

    cdef void _unlink(self, uint32_t *ring, uint32_t number) noexcept nogil:
        cdef Flow *flow = &self._flows[number]
        if flow.next == number:
            ring[0] = NONE
            return
        self._flows[flow.prev].next = flow.next
        self._flows[flow.next].prev = flow.prev
        if ring[0] == number:
            ring[0] = flow.next

    cdef inline void _append(self, uint32_t number, uint32_t slot) noexcept nogil:
        cdef Flow *flow = &self._flows[number]
        cdef Node *node = &self._nodes[slot]
        node.flow, node.next, node.prev = number, NONE, flow.tail
        if flow.tail == NONE:
            flow.head = slot
        else:
            self._nodes[flow.tail].next = slot
        flow.tail = slot
        flow.count += 1
        self._count(flow, 1)

    cdef void _prepend(self, uint32_t number, uint32_t slot) noexcept nogil:
        cdef Flow *flow = &self._flows[number]
        cdef Node *node = &self._nodes[slot]
        node.flow, node.next, node.prev = number, flow.head, NONE
        if flow.head == NONE:
            flow.tail = slot
        else:
            self._nodes[flow.head].prev = slot
        flow.head = slot
        flow.count += 1
        self._count(flow, 1)

    cdef inline void _count(self, const Flow *flow, uint32_t change) noexcept nogil:
        cdef Lane *lane = self._lane(flow.lane)
        if flow.paused_until_ns:
            lane.waiting += change
        else:
            lane.ready += change

    cdef uint32_t _serve(self, Lane *lane, uint32_t room, uint32_t *out) noexcept nogil:
        """Deficit round robin: a flow keeps its turn over calls until its allowance or its slots are used up."""
        cdef uint32_t taken = 0
        cdef uint32_t number, slot, share, i
        cdef Flow *flow
        while taken < room and lane.active != NONE:
            number = lane.active
            flow = &self._flows[number]
            if flow.allowance == 0:
                flow.allowance = self._quantum * flow.weight
            share = min(min(flow.allowance, flow.count), room - taken)
            slot = flow.head
            for i in range(share):
                out[taken + i] = slot
                self._nodes[slot].flow = HELD
                slot = self._nodes[slot].next
            taken += share
            lane.ready -= share
            flow.head = slot
            flow.count -= share
            flow.allowance -= share
            if flow.count == 0:
                self._close(number)
                continue
            self._nodes[slot].prev = NONE
            if flow.allowance == 0:
                lane.active = flow.next
        return taken

    cdef void _resume(self, Lane *lane, int64_t now_ns) noexcept nogil:
        """Put the flows whose pause is over last in the ring."""
        cdef uint32_t number, next, last
        cdef int64_t resume_ns = NEVER_NS
        if lane.resume_ns > now_ns or lane.paused == NONE:
            return
        next = lane.paused
        last = self._flows[next].prev
        number = NONE
        while number != last:
            number = next
            next = self._flows[number].next
            if self._flows[number].paused_until_ns > now_ns:
                resume_ns = min(resume_ns, self._flows[number].paused_until_ns)
                continue
            self._unlink(&lane.paused, number)
            self._link(&lane.active, number)
            self._flows[number].paused_until_ns = 0
            lane.waiting -= self._flows[number].count
            lane.ready += self._flows[number].count
        lane.resume_ns = resume_ns

    cdef int64_t _oldest(self, uint32_t ring) noexcept nogil:
        cdef int64_t oldest = NEVER_NS
        cdef uint32_t number = ring
        while number != NONE:
            oldest = min(oldest, self._nodes[self._flows[number].head].queued_ns)
            number = self._flows[number].next
            if number == ring:
                break
        return oldest
