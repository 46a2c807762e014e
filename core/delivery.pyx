"""A notification under way, and one delivery of it to one device."""

cimport cython


@cython.final
@cython.no_gc
cdef class Notification:
    """One accepted notification.

    id: 16 bytes, empty until assign_places. collapse_id: what the providers get to replace an earlier copy on the
    screen, at most 64 bytes: the caller's when collapse_given, else made from the id. content is dropped once every provider's payload is rendered.
    purpose: a core.content.purpose.Purpose, None where class and content say all.
    open_deliveries counts what is not final yet, in_flight what is on the wire; outcome_bits has bit DeliveryState set for
    each final state seen. recovered: it comes from the journal, so what became of it before the restart is not known.
    """

    def __init__(
        self, str tenant not None, str app not None, str campaign not None,
        uint8_t klass, uint8_t push_type, bytes collapse_id not None,
        int64_t accepted_unix_ms, int64_t send_at_unix_ms, int64_t expires_unix_ms,
        uint32_t tenant_tag, uint32_t app_tag,
        tuple user_ids not None, tuple targets not None, object content,
    ):
        self.id = b""
        self.tenant = tenant
        self.app = app
        self.campaign = campaign
        self.klass = klass
        self.push_type = push_type
        self.collapse_given = len(collapse_id) > 0
        self._collapse_id = collapse_id
        self.accepted_unix_ms = accepted_unix_ms
        self.send_at_unix_ms = send_at_unix_ms
        self.expires_unix_ms = expires_unix_ms
        self.tenant_tag = tenant_tag
        self.app_tag = app_tag
        self.user_ids = user_ids
        self.targets = targets
        self.content = content

    @property
    def collapse_id(self):
        """The caller's, or else the id in hexadecimal; made when asked, as a million that wait should not each keep one."""
        return self._collapse_id if self.collapse_given else self.id.hex().encode()



@cython.final
@cython.no_gc
cdef class Flow:
    """What shares fairly inside a lane: one tenant's campaign on one route, with its token buckets.

    buckets and rules: up to 4 each, parallel; rule 0 stands for no limit.
    """

    def __init__(self, uint64_t key, buckets, rules):
        cdef Py_ssize_t i
        if len(buckets) != len(rules) or len(buckets) > 4:
            raise ValueError("at most 4 buckets, each with a rule")
        self.key = key
        for i in range(len(buckets)):
            self.buckets[i] = buckets[i]
            self.rules[i] = rules[i]
            self.limited = self.limited or self.rules[i] != 0


@cython.final
@cython.no_gc
cdef class Delivery:
    """One notification to one device, with the payload its provider gets.

    envelope is the adapter's own (headers shared by all deliveries of the notification). device_key is the token's
    keyed hash. provider_message_id and exchange are the adapter's to set. tally: what is reserved for it against
    frequency caps, None where nothing is.
    """

    def __init__(
        self, Notification notification not None, str token not None, bytes payload not None, object envelope,
        uint64_t device_key, int64_t registered_unix_ms, uint8_t provider, uint16_t route, Flow flow not None,
    ):
        self.notification = notification
        self.flow = flow
        self.token = token
        self.payload = payload
        self.envelope = envelope
        self.device_key = device_key
        self.registered_unix_ms = registered_unix_ms
        self.provider = provider
        self.route = route


def assign_places(list notifications not None, bytes ids not None, int64_t segment, int64_t accepted_ns=0):
    """Give each notification its id (ids: n x 16 bytes) and its place in the journal: the segment and its index there.

    accepted_ns: monotonic, when it came in; 0 if only the wall clock knows.
    """
    cdef Py_ssize_t i, count = len(notifications)
    cdef Notification notification
    if len(ids) < count * 16:
        raise ValueError("ids is shorter than 16 bytes per notification")
    for i in range(count):
        notification = <Notification> notifications[i]
        notification.id = ids[i * 16:i * 16 + 16]
        notification.segment = segment
        notification.index = i
        notification.accepted_ns = accepted_ns


def assign_place(Notification notification not None, bytes id not None, int64_t segment, uint32_t index):
    """Give one notification back the id and the place in the journal that it had before a restart."""
    notification.id = id
    notification.segment = segment
    notification.index = index


def by_segment(list notifications not None):
    """Return (segment, its notifications) for each run of neighbours of one segment; the list itself if it is one."""
    cdef list runs = []
    cdef Py_ssize_t i, first = 0, count = len(notifications)
    cdef int64_t segment
    for i in range(1, count + 1):
        segment = (<Notification> notifications[first]).segment
        if i == count or (<Notification> notifications[i]).segment != segment:
            runs.append((segment, notifications if i - first == count else notifications[first:i]))
            first = i
    return runs


def count_classes(list notifications not None):
    """Return how many notifications there are of each class: four numbers."""
    cdef Notification notification
    cdef Py_ssize_t counts[4]
    counts[0] = counts[1] = counts[2] = counts[3] = 0
    for notification in notifications:
        counts[notification.klass & 3] += 1
    return counts[0], counts[1], counts[2], counts[3]


def has_later(list notifications not None):
    """Tell whether any of the notifications is to be sent at a later time."""
    cdef Notification notification
    for notification in notifications:
        if notification.send_at_unix_ms:
            return True
    return False


def has_users(list notifications not None):
    """Tell whether any of the notifications names users."""
    cdef Notification notification
    for notification in notifications:
        if notification.user_ids:
            return True
    return False


def release_many(list notifications not None):
    """Let go of what is not needed once every delivery of the notifications is made: content and recipients."""
    cdef Notification notification
    for notification in notifications:
        notification.content = None
        notification.targets = ()
        notification.user_ids = ()


def tallied(list deliveries not None):
    """Return the places of the deliveries for which something is reserved."""
    cdef Py_ssize_t i
    cdef list places = []
    for i in range(len(deliveries)):
        if (<Delivery> deliveries[i]).tally is not None:
            places.append(i)
    return places


def take_live(list deliveries not None, int64_t now_unix_ms):
    """Remove from `deliveries`, in place, what has expired or was cancelled; return what was removed, in order."""
    cdef list gone = []
    cdef Py_ssize_t read, kept = 0, count = len(deliveries)
    cdef Delivery delivery
    for read in range(count):
        delivery = <Delivery> deliveries[read]
        if delivery.notification.cancelled or delivery.notification.expires_unix_ms <= now_unix_ms:
            gone.append(delivery)
        else:
            deliveries[kept] = delivery
            kept += 1
    del deliveries[kept:]
    return gone


def mark_submitted(list deliveries not None, Py_ssize_t count, int64_t now_ns):
    """Note that the first `count` deliveries went on the wire at now_ns."""
    cdef Py_ssize_t i
    cdef Delivery delivery
    if count > len(deliveries):
        raise ValueError("count exceeds the batch")
    for i in range(count):
        delivery = <Delivery> deliveries[i]
        delivery.queued = False
        delivery.submitted_ns = now_ns
        delivery.attempts += 1
        delivery.notification.in_flight += 1


def mark_answered(list deliveries not None):
    """Note that the deliveries are off the wire again."""
    cdef Delivery delivery
    for delivery in deliveries:
        delivery.notification.in_flight -= 1


def find_ended(list slab not None, Py_ssize_t start, Py_ssize_t stop, int64_t now_unix_ms):
    """Return the queued deliveries in slab[start:stop] that have expired or were cancelled."""
    cdef list ended = []
    cdef Py_ssize_t i
    cdef Delivery delivery
    for i in range(start, min(stop, len(slab))):
        if slab[i] is None:
            continue
        delivery = <Delivery> slab[i]
        if delivery.queued and (
            delivery.notification.cancelled or delivery.notification.expires_unix_ms <= now_unix_ms
        ):
            ended.append(delivery)
    return ended


def slots_of(list deliveries not None, uint32_t[::1] slots not None):
    """Write the slot of each delivery; slots: at least as long as the batch."""
    cdef Py_ssize_t i
    if slots.shape[0] < len(deliveries):
        raise ValueError("slots is shorter than the batch")
    for i in range(len(deliveries)):
        slots[i] = (<Delivery> deliveries[i]).slot


def place_many(list slab not None, list deliveries not None, const uint32_t[::1] slots not None):
    """Give each delivery its slot and put it there; the slab grows as needed. slots: at least as long as the batch."""
    cdef Py_ssize_t i, count = len(deliveries)
    cdef Delivery delivery
    cdef uint32_t highest = 0
    if slots.shape[0] < count:
        raise ValueError("slots is shorter than the batch")
    for i in range(count):
        highest = max(highest, slots[i])
    if count and highest >= <size_t> len(slab):
        slab.extend([None] * (highest + 1 - len(slab)))
    for i in range(count):
        delivery = <Delivery?> deliveries[i]
        delivery.slot = slots[i]
        slab[slots[i]] = delivery


def pick_many(list slab not None, const uint32_t[::1] slots not None):
    """Return what lies in the slots, in their order. Raises IndexError for a slot beyond the slab."""
    cdef list picked = []
    cdef Py_ssize_t i
    for i in range(slots.shape[0]):
        if slots[i] >= <size_t> len(slab):
            raise IndexError(f"slot {slots[i]} of {len(slab)}")
        picked.append(slab[slots[i]])
    return picked


def vacate_many(list slab not None, list deliveries not None):
    """Take the deliveries out of their slots. Raises IndexError for a slot beyond the slab."""
    cdef Delivery delivery
    for delivery in deliveries:
        if delivery.slot >= <size_t> len(slab):
            raise IndexError(f"slot {delivery.slot} of {len(slab)}")
        slab[delivery.slot] = None


def fill_lanes(
    list deliveries not None, uint32_t[::1] slots not None, uint16_t[::1] routes not None,
    uint8_t[::1] priorities not None, uint64_t[::1] flows not None, int64_t now_ns,
):
    """Write slot, route, priority (the class) and flow key of each delivery and note that it is queued since now_ns.

    All arrays: at least as long as the batch.
    """
    cdef Py_ssize_t i, count = len(deliveries)
    cdef Delivery delivery
    if min(slots.shape[0], routes.shape[0], priorities.shape[0], flows.shape[0]) < count:
        raise ValueError("an array is shorter than the batch")
    for i in range(count):
        delivery = <Delivery> deliveries[i]
        delivery.queued = True
        delivery.queued_ns = now_ns
        slots[i] = delivery.slot
        routes[i] = delivery.route
        priorities[i] = delivery.notification.klass
        flows[i] = delivery.flow.key


def fill_buckets(list deliveries not None, uint64_t[::1] keys not None, uint16_t[::1] rules not None):
    """Write the 4 bucket keys and rules of each delivery's flow; both arrays hold 4 per delivery.

    Returns whether any of them has a limit.
    """
    cdef Py_ssize_t i, j, count = len(deliveries)
    cdef Flow flow
    cdef bint limited = False
    if min(keys.shape[0], rules.shape[0]) < count * 4:
        raise ValueError("an array is shorter than 4 per delivery")
    for i in range(count):
        flow = (<Delivery> deliveries[i]).flow
        limited = limited or flow.limited
        for j in range(4):
            keys[i * 4 + j] = flow.buckets[j]
            rules[i * 4 + j] = flow.rules[j]
    return limited


def seconds_since_due(list deliveries not None, int64_t now_ns, int64_t now_unix_ms):
    """Return per class a list of (seconds, how many) since they were accepted or, if later, due; equal neighbours as one."""
    cdef list by_class = [[], [], [], []]
    cdef Py_ssize_t same = 0
    cdef double since, last_since = 0
    cdef int klass, last_klass = 0
    cdef Delivery delivery
    for delivery in deliveries:
        since, klass = since_due(delivery.notification, now_ns, now_unix_ms), delivery.notification.klass & 3
        if same and (since != last_since or klass != last_klass):
            (<list> by_class[last_klass]).append((last_since, same))
            same = 0
        last_since, last_klass = since, klass
        same += 1
    if same:
        (<list> by_class[last_klass]).append((last_since, same))
    return by_class


cdef double since_due(Notification notification, int64_t now_ns, int64_t now_unix_ms) noexcept:
    if notification.accepted_ns and not notification.send_at_unix_ms:
        return (now_ns - notification.accepted_ns) / 1e9
    return (now_unix_ms - max(notification.accepted_unix_ms, notification.send_at_unix_ms)) / 1000.0
