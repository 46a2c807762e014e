"""SendStream's requests written by hand, so that each notification is serialised once, however often it is sent.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from gateway.client.tracing import TraceContext
from protos.walletpush.v1 import delivery_pb2 as pb
from protos.walletpush.v1.notification_pb2 import Notification

_SEQUENCE_TAG = bytes((pb.SendStreamRequest.SEQUENCE_FIELD_NUMBER << 3,))
_NOTIFICATION_TAG = bytes((pb.SendStreamRequest.NOTIFICATIONS_FIELD_NUMBER << 3 | 2,))
_KEY_TAG = bytes((Notification.IDEMPOTENCY_KEY_FIELD_NUMBER << 3 | 2,))


def new_key() -> str:
    """Make an idempotency key."""
    return str(uuid.uuid4())


def framed(notification: Notification) -> tuple[bytes, str]:
    """Return a notification as an element of a chunk, and its key, made here if it has none."""
    body, key = notification.SerializeToString(), notification.idempotency_key
    if not key:
        key = new_key()
        # Fields may come in any order, and the key is short enough for a length of one byte.
        body += _KEY_TAG + bytes((len(key),)) + key.encode()
    return _NOTIFICATION_TAG + varint(len(body)) + body, key


def chunk(sequence: int, elements: Iterable[bytes]) -> bytes:
    """Return a SendStreamRequest of framed notifications."""
    return b"".join((_SEQUENCE_TAG, varint(sequence), *elements))


def traces(contexts: Iterable[TraceContext | None]) -> bytes:
    """Return the elements of a chunk that name the traces of its notifications, in their order; empty for none."""
    told = [
        pb.TraceContext(index=index, traceparent=context.traceparent, tracestate=context.tracestate)
        for index, context in enumerate(contexts)
        if context is not None
    ]
    return pb.SendStreamRequest(trace_contexts=told).SerializeToString() if told else b""


def varint(number: int) -> bytes:
    """Write a number of at least 0 in base 128, the low digits first."""
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)
