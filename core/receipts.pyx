"""What happened to deliveries between two commits, packed per segment, and the reading of it."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Realloc
from libc.string cimport memcpy, memset

from core.delivery cimport Delivery, Notification

from core.errors import StoreFailure
from core.model import DeliveryState, NotificationState, Receipt
from core.notification_id import make_id
from core.storage import PartlyFinished, SegmentUpdate

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef enum:
    PENDING = 0
    DELIVERED = 1
    FAILED = 2
    EXPIRED = 3
    CANCELLED = 4
    SUPPRESSED = 5
    N_ACCEPTED = 0
    N_DELIVERED = 1
    N_PARTIALLY_DELIVERED = 2
    N_FAILED = 3
    N_EXPIRED = 4
    N_CANCELLED = 5
    N_SUPPRESSED = 6
    N_SCHEDULED = 7
    EMPTY = 0xFFFFFFFF

cdef tuple STATES = tuple(DeliveryState)


@cython.final
cdef class ReceiptLog:
    """Collects events and closed marks until the next commit takes them.

    buffered_bytes and events tell what take would give. overruns counts final states of notifications that had no
    open delivery left; their events are kept, nothing is closed twice.
    """

    def __cinit__(self):
        self.grow_table()

    def __dealloc__(self):
        self.clear()
        PyMem_Free(self.slots)
        PyMem_Free(self.table)

    def add_many(self, list deliveries not None, list outcomes not None, const uint8_t[::1] states not None,
                 int64_t at_unix_ms):
        """Note one outcome per delivery; a final state settles it, and the last one closes its notification.

        Parallel, same length; states: DeliveryState each, PENDING for an attempt that will be repeated.
        Raises ValueError, before anything is noted, if the lengths differ or a state is unknown.
        """
        cdef Py_ssize_t i, count = len(deliveries)
        cdef Delivery delivery
        cdef object outcome, last_outcome = None
        cdef SegmentSlot* slot = NULL
        cdef EventHead head
        cdef const char* reason = NULL
        check_states(count, len(outcomes), states)
        memset(&head, 0, sizeof(head))
        head.at_unix_ms = at_unix_ms
        for i in range(count):
            delivery = <Delivery?>deliveries[i]
            outcome = outcomes[i]
            if outcome is not last_outcome:
                reason = bounded_utf8(outcome.reason, MAX_REASON, &head.reason_bytes)
                head.status = outcome.status
                last_outcome = outcome
            if slot == NULL or slot.segment != delivery.notification.segment:
                slot = self.slot_of(delivery.notification.segment)
            head.state = states[i]
            self.put(slot, &head, reason, describe(delivery, &head))
            if head.state != PENDING:
                self.settle(slot, delivery.notification, head.state)

    def close_many(self, list notifications not None, uint8_t state, str reason not None, int64_t at_unix_ms):
        """Close notifications that end without a further delivery, with one event of device_key 0 each.

        Raises ValueError if the state is not a final one.
        """
        cdef Notification notification
        cdef SegmentSlot* slot
        cdef EventHead head
        cdef const char* text
        if not PENDING < state <= SUPPRESSED:
            raise ValueError(f"{state} is not a final DeliveryState")
        memset(&head, 0, sizeof(head))
        head.at_unix_ms = at_unix_ms
        head.state = state
        text = bounded_utf8(reason, MAX_REASON, &head.reason_bytes)
        for item in notifications:
            notification = <Notification?>item
            slot = self.slot_of(notification.segment)
            head.index = notification.index
            head.tenant_tag = notification.tenant_tag
            head.app_tag = notification.app_tag
            self.put(slot, &head, text, NULL)
            notification.outcome_bits |= <uint8_t>(1 << state)
            notification.open_deliveries = 0
            self.close(slot, notification)

    def take(self):
        """Return one SegmentUpdate per segment touched since the last call, and begin anew."""
        cdef list updates = []
        cdef SegmentSlot* slot
        cdef uint32_t i
        for i in range(self.slot_count):
            slot = &self.slots[i]
            updates.append(SegmentUpdate(
                slot.segment, slot.at_unix_ms,
                PyBytes_FromStringAndSize(slot.closed.bytes, slot.closed.size) if slot.closed.size else b"",
                PyBytes_FromStringAndSize(slot.events.bytes, slot.events.size),
            ))
        self.clear()
        return updates

    cdef int put(
        self, SegmentSlot* slot, EventHead* head, const char* reason, const char* message_id,
    ) except -1:
        cdef size_t size = sizeof(EventHead) + head.reason_bytes + head.message_id_bytes
        cdef char* at = reserve(&slot.events, size)
        memcpy(at, head, sizeof(EventHead))
        at += sizeof(EventHead)
        if head.reason_bytes:
            memcpy(at, reason, head.reason_bytes)
            at += head.reason_bytes
        if head.message_id_bytes:
            memcpy(at, message_id, head.message_id_bytes)
        slot.at_unix_ms = max(slot.at_unix_ms, head.at_unix_ms)
        self.buffered_bytes += size
        self.events += 1
        return 0

    cdef int settle(self, SegmentSlot* slot, Notification notification, uint8_t state) except -1:
        if notification.open_deliveries <= 0:
            self.overruns += 1
            return 0
        notification.outcome_bits |= <uint8_t>(1 << state)
        notification.open_deliveries -= 1
        if notification.open_deliveries == 0:
            self.close(slot, notification)
        return 0

    cdef int close(self, SegmentSlot* slot, Notification notification) except -1:
        cdef uint32_t mark = (notification.index << 8) | summed(notification.outcome_bits)
        memcpy(reserve(&slot.closed, sizeof(mark)), &mark, sizeof(mark))
        self.buffered_bytes += sizeof(mark)
        return 0

    cdef SegmentSlot* slot_of(self, int64_t segment) except NULL:
        cdef uint32_t at = hashed(segment) & self.table_mask
        while self.table[at] != EMPTY:
            if self.slots[self.table[at]].segment == segment:
                return &self.slots[self.table[at]]
            at = (at + 1) & self.table_mask
        self.add_slot(segment)
        return &self.slots[self.slot_count - 1]

    cdef int add_slot(self, int64_t segment) except -1:
        cdef SegmentSlot* slots
        if (self.slot_count + 1) * 2 > self.table_mask:
            self.grow_table()
        if self.slot_count == self.slot_capacity:
            slots = <SegmentSlot*>PyMem_Realloc(self.slots, (self.slot_capacity * 2 + 8) * sizeof(SegmentSlot))
            if slots == NULL:
                raise MemoryError
            self.slots = slots
            self.slot_capacity = self.slot_capacity * 2 + 8
        memset(&self.slots[self.slot_count], 0, sizeof(SegmentSlot))
        self.slots[self.slot_count].segment = segment
        link(self.table, self.table_mask, segment, self.slot_count)
        self.slot_count += 1
        return 0

    cdef int grow_table(self) except -1:
        cdef uint32_t size = (self.table_mask + 1) * 2 if self.table != NULL else 64
        cdef uint32_t* table = <uint32_t*>PyMem_Calloc(size, sizeof(uint32_t))
        cdef uint32_t i
        if table == NULL:
            raise MemoryError
        memset(table, 0xFF, size * sizeof(uint32_t))
        for i in range(self.slot_count):
            link(table, size - 1, self.slots[i].segment, i)
        PyMem_Free(self.table)
        self.table = table
        self.table_mask = size - 1
        return 0

    cdef void clear(self) noexcept:
        cdef uint32_t i
        for i in range(self.slot_count):
            PyMem_Free(self.slots[i].events.bytes)
            PyMem_Free(self.slots[i].closed.bytes)
        self.slot_count = 0
        self.buffered_bytes = 0
        self.events = 0
        if self.table != NULL:
            memset(self.table, 0xFF, (self.table_mask + 1) * sizeof(uint32_t))


def unpack_events(bytes events not None, journal, segment, accepted_unix_ms, int64_t index=-1):
    """Return the receipts packed in one row, in the order they were noted; with an index, that notification's alone.

    Raises StoreFailure if the bytes are not whole events.
    """
    cdef const char* at = PyBytes_AS_STRING(events)
    cdef const char* end = at + len(events)
    cdef EventHead head
    cdef dict ids = {}
    cdef list receipts = []
    while at < end:
        at = read_head(at, end, &head)
        if index < 0 or head.index == index:
            if head.index not in ids:
                ids[head.index] = make_id(accepted_unix_ms, journal, segment, head.index)
            receipts.append(receipt_of(&head, at, ids[head.index]))
        at += head.reason_bytes + head.message_id_bytes
    return receipts


def finished_devices(rows, bytes states not None):
    """Return by index what is final already of notifications that are still open.

    rows: packed events, oldest first. states: NotificationState per index; events of closed ones are passed over.
    Raises StoreFailure if the bytes are not whole events or an index is beyond states.
    """
    cdef const char* at
    cdef const char* end
    cdef const char* state_of = PyBytes_AS_STRING(states)
    cdef EventHead head
    cdef dict keys = {}, bits = {}
    for row in rows:
        at = PyBytes_AS_STRING(<bytes?>row)
        end = at + len(<bytes>row)
        while at < end:
            at = read_head(at, end, &head) + head.reason_bytes + head.message_id_bytes
            if head.index >= <size_t>len(states):
                raise StoreFailure(f"an event names message {head.index} of {len(states)}")
            if head.state != PENDING and is_open(state_of[head.index]):
                keys.setdefault(head.index, set()).add(head.device_key)
                bits[head.index] = bits.get(head.index, 0) | (1 << head.state)
    return {index: PartlyFinished(frozenset(done), bits[index]) for index, done in keys.items()}


def apply_closed(bytearray states not None, bytes closed not None):
    """Write closed marks into states (NotificationState per index); return how many were open until now.

    closed: n x uint32, index << 8 | NotificationState. Marks of what is closed already change nothing.
    Raises StoreFailure, before anything is written, if an index is beyond states.
    """
    cdef uint8_t[::1] state_of = states
    cdef const char* at = PyBytes_AS_STRING(closed)
    cdef Py_ssize_t i, count = len(closed) // 4, newly = 0
    cdef uint32_t mark
    for i in range(count):
        memcpy(&mark, at + 4 * i, 4)
        if mark >> 8 >= <size_t>state_of.shape[0]:
            raise StoreFailure(f"a mark names message {mark >> 8} of {state_of.shape[0]}")
    for i in range(count):
        memcpy(&mark, at + 4 * i, 4)
        if is_open(state_of[mark >> 8]):
            state_of[mark >> 8] = mark & 0xFF
            newly += 1
    return newly


def summed_state(uint8_t outcome_bits):
    """Return the NotificationState of a notification whose deliveries ended in these states (bit DeliveryState)."""
    return NotificationState(summed(outcome_bits))


cdef uint8_t summed(uint8_t bits) noexcept nogil:
    if bits & (1 << DELIVERED):
        return N_DELIVERED if bits == (1 << DELIVERED) else N_PARTIALLY_DELIVERED
    if bits & (1 << FAILED):
        return N_FAILED
    if bits & (1 << EXPIRED):
        return N_EXPIRED
    return N_CANCELLED if bits & (1 << CANCELLED) else N_SUPPRESSED


cdef inline bint is_open(uint8_t state) noexcept nogil:
    return state == N_ACCEPTED or state == N_SCHEDULED


cdef int check_states(Py_ssize_t deliveries, Py_ssize_t outcomes, const uint8_t[::1] states) except -1:
    cdef Py_ssize_t i
    if deliveries != outcomes or deliveries != states.shape[0]:
        raise ValueError(f"{deliveries} deliveries, {outcomes} outcomes, {states.shape[0]} states")
    for i in range(deliveries):
        if states[i] > SUPPRESSED:
            raise ValueError(f"{states[i]} is not a DeliveryState")
    return 0


cdef inline const char* describe(Delivery delivery, EventHead* head) except? NULL:
    """Write whose event it is into its head; return the provider's id of the message, NULL if there is none."""
    cdef Notification notification = delivery.notification
    head.device_key = delivery.device_key
    head.index = notification.index
    head.tenant_tag = notification.tenant_tag
    head.app_tag = notification.app_tag
    head.attempts = delivery.attempts
    head.provider = delivery.provider
    head.flags = POSSIBLY_DELIVERED if delivery.possibly_delivered else 0
    head.message_id_bytes = 0
    if delivery.provider_message_id is None:
        return NULL
    return bounded_utf8(delivery.provider_message_id, MAX_MESSAGE_ID, &head.message_id_bytes)


cdef const char* bounded_utf8(object text, Py_ssize_t limit, uint8_t* size) except NULL:
    """Point at the text's own UTF-8, cut at a character's border; what has none (a lone surrogate) becomes '?'."""
    cdef Py_ssize_t length
    cdef const char* utf8
    try:
        utf8 = PyUnicode_AsUTF8AndSize(text, &length)
    except UnicodeEncodeError:
        size[0] = 1
        return b"?"
    if length > limit:
        length = limit
        while length > 0 and (utf8[length] & 0xC0) == 0x80:
            length -= 1
    size[0] = <uint8_t>length
    return utf8


cdef char* reserve(Buffer* buffer, size_t size) except NULL:
    """Make room and return where it begins; it counts as written."""
    cdef char* grown
    cdef size_t capacity
    if buffer.size + size > buffer.capacity:
        capacity = max(buffer.capacity * 2, buffer.size + size)
        grown = <char*>PyMem_Realloc(buffer.bytes, capacity)
        if grown == NULL:
            raise MemoryError
        buffer.bytes = grown
        buffer.capacity = capacity
    buffer.size += size
    return buffer.bytes + buffer.size - size


cdef const char* read_head(const char* at, const char* end, EventHead* head) except NULL:
    """Copy one event's head and return where its texts begin, having checked that they end in time."""
    if <size_t>(end - at) < sizeof(EventHead):
        raise StoreFailure("a receipt is cut short")
    memcpy(head, at, sizeof(EventHead))
    at += sizeof(EventHead)
    if end - at < head.reason_bytes + head.message_id_bytes or head.state > SUPPRESSED:
        raise StoreFailure("a receipt is damaged")
    return at


cdef object receipt_of(EventHead* head, const char* texts, bytes notification_id):
    return Receipt(
        notification_id, STATES[head.state], head.at_unix_ms, head.provider, head.device_key, head.status,
        texts[:head.reason_bytes].decode("utf-8", "replace"), head.attempts, bool(head.flags & POSSIBLY_DELIVERED),
        texts[head.reason_bytes:head.reason_bytes + head.message_id_bytes].decode("utf-8", "replace"),
        head.tenant_tag, head.app_tag,
    )


cdef inline void link(uint32_t* table, uint32_t mask, int64_t segment, uint32_t slot) noexcept nogil:
    cdef uint32_t at = hashed(segment) & mask
    while table[at] != EMPTY:
        at = (at + 1) & mask
    table[at] = slot


cdef inline uint32_t hashed(int64_t segment) noexcept nogil:
    return <uint32_t>((<uint64_t>segment * <uint64_t>0x9E3779B97F4A7C15) >> 32)
