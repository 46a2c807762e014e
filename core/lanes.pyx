"""Lanes of flows of slots: the memory, lists and rings under the fan-out."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset


cdef class Lanes:
    """Slots in the lists of their flows, flows in the rings of their lanes. A flow exists while it holds a slot.

    A slot is unused, held by the caller or queued; its node says which. Checking what is asked for is up to Fanout.
    """

    def __cinit__(self):
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

    cdef Lane *_lane(self, uint32_t number) noexcept nogil:
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
