"""The fan-out: what waits to be sent, in lanes by route and priority, shared between the flows of a lane.

Items are slots: numbers under which the caller keeps its objects. Nothing is allocated per item.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from core.errors import Overloaded
from core.lanes cimport (
    CHOSEN, HELD, LINGERING, MAX_CAPACITY, NEVER_NS, NONE, PRIORITIES, UNUSED, Flow, Lane, Lanes, Node, Route,
)

NEVER = NEVER_NS
RETRY_AFTER_MS = 1_000


class FanoutFull(Overloaded):
    """There are fewer free slots than asked for."""

    def __init__(self, available):
        super().__init__("the fan-out", RETRY_AFTER_MS)
        self.available = available


cdef inline uint32_t lane_of(uint32_t route, uint32_t priority) noexcept nogil:
    return route * PRIORITIES + priority


cdef int64_t highest_route(
    Py_ssize_t n, const uint16_t[::1] routes, const uint8_t[::1] priorities, const uint64_t[::1] flows,
    const uint8_t[::1] weights,
) except -1:
    """Return the highest route of a push, having checked the lengths and ranges of what goes with its slots."""
    cdef Py_ssize_t i
    cdef uint32_t top = 0
    if routes.shape[0] != n or priorities.shape[0] != n or flows.shape[0] != n:
        raise ValueError(
            f"{routes.shape[0]} routes, {priorities.shape[0]} priorities, {flows.shape[0]} flows for {n} slots"
        )
    if weights is not None and weights.shape[0] != n:
        raise ValueError(f"{weights.shape[0]} weights for {n} slots")
    for i in range(n):
        if priorities[i] >= PRIORITIES or weights is not None and weights[i] == 0:
            raise ValueError(f"element {i}: priorities go from 0 to 7, weights from 1 to 255")
        top = max(top, routes[i])
    return top


@cython.final
cdef class Fanout(Lanes):
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
        Raises ValueError, having queued none, if lengths differ, a value is out of range, or a slot is not held.
        """
        cdef Py_ssize_t i, n = slots.shape[0]
        cdef uint32_t lane, flow = NONE
        cdef Node *node
        self._grow_routes(1 + highest_route(n, routes, priorities, flows, weights))
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

        Priorities in order up to max_priority, each drained before the next; its flows in turns, but for paused ones.
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
        """Skip a flow until a time; False if it holds nothing, and then nothing is remembered.

        So what was pulled is to be given back first. until_ns replaces that of an earlier pause.
        """
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
        """Return the earliest time when pull yields what is worth a call, now_ns at least; NEVER if all is empty.

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
        """Since when the longest waiting slot of a lane is queued; 0 for an empty lane. Looks at each flow's head."""
        if self.depth(route, priority) == 0:
            return 0
        cdef Lane *lane = &self._routes[route].lanes[priority]
        return min(self._oldest(lane.active), self._oldest(lane.paused))

    def _require_batch(self, batch_size, linger_ns):
        if not 0 < batch_size < 1 << 31 or not 0 <= linger_ns < 1 << 62:
            raise ValueError(f"batch_size {batch_size} or linger_ns {linger_ns} is out of range")
