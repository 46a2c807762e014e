"""Accepted notifications -> pairs with their targets -> deliveries, a stride of pairs at a time."""

cimport cython
from libc.stdint cimport uint8_t, uint16_t

from core.delivery cimport Delivery, Flow, Notification
from core.hashing cimport SipHash, siphash64

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef Flow NOWHERE = Flow(0, (), ())


@cython.final
cdef class Expansion:
    """Pairs of notification and target, in order; `taken` of them are behind, the length is what is left."""

    def __cinit__(self):
        self._notifications = []
        self._targets = []

    def __len__(self):
        return len(self._notifications) - self.taken

    def add(self, notifications, targets_of=None):
        """Append a pair per target and set how many deliveries each notification has; return those without any.

        targets_of: asked for each notification; without it its own targets are all.
        """
        cdef list nowhere = []
        cdef Notification notification
        cdef object targets
        for item in notifications:
            notification = <Notification?>item
            targets = notification.targets if targets_of is None else targets_of(notification)
            # The count stands before the first of them may be answered.
            notification.open_deliveries = len(targets)
            if not targets:
                nowhere.append(notification)
            for target in targets:
                if not isinstance(target, tuple):
                    raise TypeError(f"a target is a core.model.Target, not {type(target).__name__}")
                self._notifications.append(notification)
                self._targets.append(target)
        return nowhere

    @property
    def klass(self):
        """The class of the next pair's notification. Raises IndexError when nothing is left."""
        if self.taken >= len(self._notifications):
            raise IndexError("nothing is left")
        return (<Notification>self._notifications[self.taken]).klass

    def assign(self, Py_ssize_t count, lane_of not None):
        """Return the next `count` pairs, or what is left, each with its lane; they count as taken only after `take`.

        lane_of: asked for (number of the route, flow), None for no way, once for equal neighbours.
        """
        cdef Py_ssize_t first = self.taken
        cdef Stride stride = Stride.__new__(Stride)
        stride._notifications = self._notifications[first:first + count]
        stride._targets = self._targets[first:first + count]
        stride.find_lanes(lane_of)
        return stride

    def take(self, Py_ssize_t count):
        """Count the next `count` pairs as taken. Raises ValueError beyond what is left."""
        if not 0 <= count <= len(self):
            raise ValueError(f"{count} of {len(self)} pairs")
        self.taken += count

    def refused(self, SipHash hasher not None):
        """Return a delivery that can only be ended for each pair that is left."""
        cdef list made = []
        cdef Py_ssize_t i
        for i in range(self.taken, len(self._notifications)):
            made.append(unsendable(<Notification>self._notifications[i], <tuple>self._targets[i], hasher))
        return made


@cython.final
cdef class Stride:
    """Some neighbouring pairs; `wanted` tells by the route's number which notifications are to be rendered for it."""

    def __len__(self):
        return len(self._targets)

    cdef int find_lanes(self, lane_of) except -1:
        cdef Py_ssize_t i, count = len(self._targets)
        cdef Notification notification, last = None
        cdef tuple target, last_target = None
        cdef object lane = None
        self._lanes, self._places, self.wanted = [], [], {}
        for i in range(count):
            notification = <Notification>self._notifications[i]
            target = <tuple>self._targets[i]
            if last is None or not same_lane(notification, target, last, last_target):
                lane = lane_of(notification, target)
                last, last_target = notification, target
            self._lanes.append(lane)
            self._places.append(-1 if lane is None else self.place(notification, (<tuple?>lane)[0]))
        return 0

    cdef Py_ssize_t place(self, Notification notification, number) except -1:
        """Return where in the route's list the notification stands; the deliveries of one are neighbours."""
        cdef list wanted = <list>self.wanted.get(number)
        if wanted is None:
            wanted = self.wanted[number] = []
        if not wanted or wanted[len(wanted) - 1] is not notification:
            wanted.append(notification)
        return len(wanted) - 1

    def deliver(self, dict rendered not None, SipHash hasher not None):
        """Return the deliveries, and by reason those that can only be ended.

        rendered: for each route in `wanted` a list parallel to it of (payload, envelope) or ContentRefused.
        """
        cdef list made = []
        cdef dict failed = {}
        cdef Py_ssize_t i, count = len(self._targets)
        cdef Notification notification
        cdef tuple target, lane
        cdef object parts
        for i in range(count):
            notification, target = <Notification>self._notifications[i], <tuple>self._targets[i]
            if self._lanes[i] is None:
                failed.setdefault("NO_ROUTE", []).append(unsendable(notification, target, hasher))
                continue
            lane = <tuple>self._lanes[i]
            parts = (<list?>rendered[lane[0]])[<Py_ssize_t>self._places[i]]
            if type(parts) is tuple:
                made.append(delivery_of(notification, target, <tuple>parts, lane, hasher))
            else:
                failed.setdefault(parts.reason, []).append(unsendable(notification, target, hasher))
        return made, failed


cdef bint same_lane(Notification one, tuple target, Notification other, tuple other_target) except -1:
    """Tell whether a lane depends on nothing that differs; app and tenant of one caller are one object each."""
    return (
        target[0] is other_target[0] and target[2] is other_target[2]
        and one.app is other.app and one.tenant is other.tenant and one.campaign == other.campaign
    )


cdef Delivery delivery_of(Notification notification, tuple target, tuple parts, tuple lane, SipHash hasher):
    cdef Delivery delivery = blank(notification, target, hasher)
    delivery.payload, delivery.envelope = <bytes?>parts[0], parts[1]
    delivery.registered_unix_ms = target[3]
    delivery.route, delivery.flow = <uint16_t>lane[0], <Flow?>lane[1]
    # It may have been on the wire when the process ended.
    delivery.possibly_delivered = notification.recovered
    return delivery


cdef Delivery unsendable(Notification notification, tuple target, SipHash hasher):
    cdef Delivery delivery = blank(notification, target, hasher)
    delivery.payload, delivery.flow = b"", NOWHERE
    return delivery


cdef Delivery blank(Notification notification, tuple target, SipHash hasher):
    cdef Delivery delivery = Delivery.__new__(Delivery)
    cdef Py_ssize_t size
    cdef const char *utf8
    delivery.notification, delivery.token = notification, <str?>target[1]
    delivery.provider = <uint8_t>target[0]
    utf8 = PyUnicode_AsUTF8AndSize(delivery.token, &size)
    delivery.device_key = siphash64(&hasher._key, <const uint8_t *>utf8, size)
    return delivery
