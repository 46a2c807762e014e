"""Layout of the lanes: linked lists by number in flat arrays."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    PRIORITIES = 8
    LINGERING = 2

cdef extern from *:
    """
    #define NONE ((uint32_t)0xffffffff)
    #define UNUSED ((uint32_t)0xfffffffe)
    #define HELD ((uint32_t)0xfffffffd)
    #define CHOSEN ((uint32_t)0xfffffffc)
    #define MAX_CAPACITY 0xf0000000
    #define NEVER_NS INT64_MAX
    """
    const uint32_t NONE
    const uint32_t UNUSED
    const uint32_t HELD
    const uint32_t CHOSEN
    const uint32_t MAX_CAPACITY
    const int64_t NEVER_NS


cdef struct Node:
    uint32_t next
    uint32_t prev
    uint32_t flow
    uint16_t route
    uint8_t priority
    uint8_t weight
    uint64_t key
    int64_t queued_ns


cdef struct Flow:
    uint64_t key
    int64_t paused_until_ns
    uint32_t lane
    uint32_t head
    uint32_t tail
    uint32_t count
    uint32_t allowance
    uint32_t weight
    uint32_t next
    uint32_t prev
    uint32_t chain
    uint32_t apart


cdef struct Lane:
    int64_t resume_ns
    uint32_t active
    uint32_t paused
    uint32_t ready
    uint32_t waiting


cdef struct Route:
    Lane lanes[PRIORITIES]
    int64_t linger_ns
    uint32_t batch_size


cdef class Lanes:
    cdef Node *_nodes
    cdef uint32_t _capacity
    cdef uint32_t _node_room
    cdef uint32_t _node_fresh
    cdef uint32_t _node_free
    cdef uint32_t _in_use
    cdef Flow *_flows
    cdef uint32_t _max_flows
    cdef uint32_t _flow_room
    cdef uint32_t _flow_fresh
    cdef uint32_t _flow_free
    cdef uint32_t _flow_count
    cdef uint32_t *_chains
    cdef uint32_t _chain_mask
    cdef Route *_routes
    cdef uint32_t _route_room
    cdef uint32_t _batch_size
    cdef int64_t _linger_ns
    cdef uint32_t _quantum

    cdef int _grow_nodes(self, uint64_t needed) except -1
    cdef int _grow_flows(self, uint64_t needed) except -1
    cdef int _grow_routes(self, uint32_t needed) except -1
    cdef int _choose(self, const uint32_t[::1] slots, uint32_t state) except -1
    cdef Lane *_lane(self, uint32_t number) noexcept nogil
    cdef uint32_t *_chain(self, uint32_t lane, uint64_t key) noexcept nogil
    cdef uint32_t _find(self, uint32_t lane, uint64_t key) noexcept nogil
    cdef uint32_t _open(self, uint32_t lane, uint64_t key, uint32_t weight) noexcept nogil
    cdef void _close(self, uint32_t number) noexcept nogil
    cdef void _link(self, uint32_t *ring, uint32_t number) noexcept nogil
    cdef void _unlink(self, uint32_t *ring, uint32_t number) noexcept nogil
    cdef void _append(self, uint32_t flow, uint32_t slot) noexcept nogil
    cdef void _prepend(self, uint32_t flow, uint32_t slot) noexcept nogil
    cdef void _count(self, const Flow *flow, uint32_t change) noexcept nogil
    cdef uint32_t _serve(self, Lane *lane, uint32_t room, uint32_t *out) noexcept nogil
    cdef void _resume(self, Lane *lane, int64_t now_ns) noexcept nogil
    cdef int64_t _oldest(self, uint32_t ring) noexcept nogil
