"""Layout of the log of what happened between two commits: per segment one buffer of events and one of closed marks."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from core.delivery cimport Notification

cdef enum:
    MAX_REASON = 64
    MAX_MESSAGE_ID = 160
    POSSIBLY_DELIVERED = 1

# Written as the host has it: a journal never leaves its host.
cdef packed struct EventHead:
    uint64_t device_key
    int64_t at_unix_ms
    uint32_t index
    uint32_t tenant_tag
    uint32_t app_tag
    uint16_t status
    uint16_t attempts
    uint8_t provider
    uint8_t state
    uint8_t flags
    uint8_t reason_bytes
    uint8_t message_id_bytes

cdef struct Buffer:
    char* bytes
    size_t size
    size_t capacity

cdef struct SegmentSlot:
    int64_t segment
    int64_t at_unix_ms
    Buffer events
    Buffer closed

cdef class ReceiptLog:
    cdef SegmentSlot* slots
    cdef uint32_t slot_count
    cdef uint32_t slot_capacity
    cdef uint32_t* table
    cdef uint32_t table_mask
    cdef readonly size_t buffered_bytes
    cdef readonly uint64_t events
    cdef readonly uint64_t overruns

    cdef SegmentSlot* slot_of(self, int64_t segment) except NULL
    cdef int add_slot(self, int64_t segment) except -1
    cdef int grow_table(self) except -1
    cdef void clear(self) noexcept
    cdef int put(
        self, SegmentSlot* slot, EventHead* head, const char* reason, const char* message_id,
    ) except -1
    cdef int settle(self, SegmentSlot* slot, Notification notification, uint8_t state) except -1
    cdef int close(self, SegmentSlot* slot, Notification notification) except -1
