"""Deliveries -> the requests that APNs gets, and answers -> deliveries again, in one call per batch.

Source: https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
"""

import cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from adapters.apns.push_id cimport ID_BYTES, write_id
from adapters.http2.exchange cimport Exchange, new_exchange
from adapters.http2.headers cimport encode_name

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 highest)
    void *PyUnicode_DATA(object text)

cdef const uint8_t *PATH = b"/3/device/"
cdef enum:
    PATH_BYTES = 10

cdef bytes APNS_ID = encode_name(b"apns-id")
cdef bytes EXPIRATION = encode_name(b"apns-expiration")
cdef bytes COLLAPSE_ID = encode_name(b"apns-collapse-id")
cdef const char *HEX = b"0123456789abcdef"


@cython.final
cdef class Requests:
    """One request for each of the first `count` deliveries, but for those in `malformed`, which no header can carry.

    token: what the shapes of the deliveries are dressed in; None with a certificate.
    """

    def __init__(self, deliveries not None, Py_ssize_t count, token):
        cdef Py_ssize_t index
        if count > len(deliveries):
            raise ValueError(f"{count} of {len(deliveries)} deliveries")
        self._token = token
        self.exchanges, self.malformed = [], []
        for index in range(count):
            delivery = <Delivery?> deliveries[index]
            try:
                self.add(delivery)
            except ValueError:
                self.malformed.append(delivery)

    cdef int add(self, Delivery delivery) except -1:
        cdef tuple envelope = <tuple?> delivery.envelope
        cdef Exchange exchange
        self.take_shape(envelope[0])
        if delivery.exchange is None:
            exchange = new_exchange(self._head, delivery.payload, delivery)
            fill(exchange, delivery, <bytes?> envelope[1])
        else:
            exchange = <Exchange?> delivery.exchange
            if exchange.head is not self._head:
                # The same request, under the token now in force.
                exchange.rehead(self._head)
            exchange.tag = delivery
            delivery.exchange = None
        self.exchanges.append(exchange)
        return 0

    cdef int take_shape(self, shape) except -1:
        if shape is not self._shape:
            if self._token is not None and shape.token is not self._token:
                shape.dress(self._token)
            self._shape, self._head = shape, shape.head
        return 0


def read_answers(list exchanges not None, delivered, outcome_of not None):
    """Return deliveries and outcomes, parallel and in order, and the last exchange that succeeded, or None.

    delivered: the outcome of a 200. outcome_of: asked for all others.
    """
    cdef list deliveries = [], outcomes = []
    cdef Exchange exchange, last = None
    for exchange in exchanges:
        deliveries.append(exchange.tag)
        if exchange.status == 200:
            outcomes.append(delivered)
            last = exchange
        else:
            outcomes.append(outcome_of(exchange, exchange.tag))
    return deliveries, outcomes, last


cdef int fill(Exchange exchange, Delivery delivery, bytes collapse_id) except -1:
    """Write path and headers of one delivery; collapse_id: empty stands for the notification's own."""
    cdef Notification notification = delivery.notification
    cdef uint8_t text[40]
    cdef Py_ssize_t size
    cdef const char *token = PyUnicode_AsUTF8AndSize(delivery.token, &size)
    exchange.set_path(PATH, PATH_BYTES, <const uint8_t *> token, size)
    write_id(notification.id, delivery.device_key, text)
    if delivery.provider_message_id is None:
        delivery.provider_message_id = ascii_text(text, ID_BYTES)
    exchange.add_field(APNS_ID, text, ID_BYTES)
    size = write_decimal(notification.expires_unix_ms // 1000, text)
    exchange.add_field(EXPIRATION, text, size)
    if not collapse_id and notification.collapse_given:
        collapse_id = notification._collapse_id
    if collapse_id:
        exchange.add_field(COLLAPSE_ID, <const uint8_t *> PyBytes_AS_STRING(collapse_id), PyBytes_GET_SIZE(collapse_id))
    else:
        write_hex(notification.id, text)
        exchange.add_field(COLLAPSE_ID, text, 32)
    return 0


cdef str ascii_text(const uint8_t *text, Py_ssize_t size):
    cdef object made = PyUnicode_New(size, 127)
    memcpy(PyUnicode_DATA(made), text, size)
    return <str> made


cdef void write_hex(bytes ident, uint8_t *out) noexcept:
    """Write 16 bytes as 32 digits; what has another size was refused before."""
    cdef const uint8_t *raw = <const uint8_t *> PyBytes_AS_STRING(ident)
    cdef int index
    for index in range(16):
        out[2 * index], out[2 * index + 1] = HEX[raw[index] >> 4], HEX[raw[index] & 15]


cdef Py_ssize_t write_decimal(int64_t number, uint8_t *out) noexcept:
    """Write a number that is not negative; return how many digits it has."""
    cdef uint8_t digits[20]
    cdef Py_ssize_t at = 20
    number = max(number, 0)
    while True:
        at -= 1
        digits[at] = <uint8_t> (48 + number % 10)
        number //= 10
        if number == 0:
            break
    memcpy(out, digits + at, 20 - at)
    return 20 - at
