"""Layout of the dedup window in shared memory, and what is read off it alone."""

from libc.stdint cimport uint8_t, uint64_t

from core.shared_memory cimport Header, compare_and_swap, load_acquire


cdef enum:
    NEW = 0
    DUPLICATE = 1
    CONFLICT = 2
    IN_FLIGHT = 3
    FULL = 4

cdef enum:
    VOID = 1
    RESERVED = 2
    COMMITTED = 3

cdef enum:
    WORKERS = 256
    RING = 32


cdef extern from *:
    """
    // A link or a state is (slice number << 28 | rest): 36 bits of slices of at least 50 ms reach beyond the year 2070.
    #define LABEL_SHIFT 28
    #define INDEX_MASK ((uint64_t)0xfffffff)
    #define OWNER_MASK ((uint64_t)0xffffff)
    // A start is (slice number mod 2^20) << 44 | ring place: places last 5 years at 100,000 a second.
    #define TAG_SHIFT 44
    #define TAG_MASK ((uint64_t)0xfffff)
    #define SEQUENCE_MASK ((uint64_t)0xfffffffffff)
    #define MIN_SLICE_MS 50
    #define MAX_UNIX_MS ((uint64_t)1 << 41)
    // With one head per entry a keyed hash makes no chain longer than some ten; beyond this the buffer is damaged.
    #define MAX_HOPS 1024
    #define AHEAD 24
    """
    const int LABEL_SHIFT
    const uint64_t INDEX_MASK
    const uint64_t OWNER_MASK
    const int TAG_SHIFT
    const uint64_t TAG_MASK
    const uint64_t SEQUENCE_MASK
    const uint64_t MIN_SLICE_MS
    const uint64_t MAX_UNIX_MS
    const int MAX_HOPS
    const Py_ssize_t AHEAD


cdef struct Entry:
    uint64_t state
    uint64_t next
    uint64_t low
    uint64_t high
    uint64_t fingerprint
    uint64_t id_low
    uint64_t id_high
    uint64_t batch


cdef struct Control:
    Header header
    uint64_t current
    uint64_t apart[7]
    uint64_t allocated
    uint64_t apart_too[7]
    uint64_t starts[RING]
    uint64_t epochs[WORKERS]


cdef struct Claim:
    uint64_t low
    uint64_t high
    uint64_t fingerprint
    uint64_t id_low
    uint64_t id_high
    uint64_t label
    uint64_t kind


cdef inline uint64_t heads_for(uint64_t capacity) noexcept nogil:
    cdef uint64_t heads = 64
    while heads < capacity:
        heads *= 2
    return heads


cdef inline uint64_t bytes_for(uint64_t capacity) noexcept nogil:
    return sizeof(Control) + heads_for(capacity) * sizeof(uint64_t) + capacity * sizeof(Entry)


cdef inline int kind_of(uint64_t state) noexcept nogil:
    return state >> 24 & 15


cdef inline bint alive(const Control *control, uint64_t owner) noexcept nogil:
    return (load_acquire(&control.epochs[owner >> 16]) & 0xffff) == (owner & 0xffff)


cdef inline void open_slice(Control *control, uint64_t slice_number) noexcept nogil:
    """Note the first ring place a slice may use: read before anybody can label an entry with it."""
    cdef uint64_t *start = &control.starts[slice_number % RING]
    cdef uint64_t word = load_acquire(start)
    cdef bint stale = word == 0 or (word >> TAG_SHIFT ^ slice_number) & TAG_MASK != 0
    if stale and load_acquire(&control.current) < slice_number:
        compare_and_swap(start, word, slice_number << TAG_SHIFT | load_acquire(&control.allocated))


cdef class DedupWindow:
    cdef uint8_t[::1] _buffer
    cdef Control *_control
    cdef uint64_t *_heads
    cdef Entry *_entries
    cdef uint64_t _mask
    cdef uint64_t _capacity
    cdef uint64_t _slices
    cdef uint64_t _slice_ms
    cdef uint64_t _slice
    cdef uint64_t _oldest
    cdef uint64_t _limit
    cdef uint64_t _spare
    cdef uint64_t _spare_slice
    cdef uint64_t _worker
    cdef uint64_t _owner
    cdef uint64_t _batch
    cdef bint _begun

    cdef uint64_t _slice_of(self, uint64_t unix_ms) noexcept nogil
    cdef void _advance(self, uint64_t slice_number) noexcept nogil
    cdef Entry *_find(self, uint64_t link, const Claim *claim, Entry *seen) noexcept nogil
    cdef int _judge(self, Entry *entry, const Entry *seen, uint64_t fingerprint) noexcept nogil
    cdef bint _allocate(self, uint64_t *sequence) noexcept nogil
    cdef uint64_t _fill(self, uint64_t sequence, const Claim *claim, uint64_t next) noexcept nogil
    cdef int _push(self, const Claim *claim, uint64_t head, uint64_t *position) noexcept nogil
    cdef Py_ssize_t _check_all(
        self, const uint8_t *keys, const uint64_t *fingerprints, const uint8_t *ids, Py_ssize_t n,
        uint8_t *verdicts, uint8_t *found_ids, uint64_t *positions,
    ) noexcept nogil
    cdef int _check(self, const Claim *claim, uint64_t *position, Entry *seen) noexcept nogil
    cdef int _restore(self, const Claim *claim) noexcept nogil
    cdef void _prefetch(self, const uint8_t *keys, Py_ssize_t i, Py_ssize_t n) noexcept nogil
    cdef Py_ssize_t _settle(self, uint64_t[::1] positions, uint64_t kind) noexcept nogil
