"""Answers to many notifications at once, put together as protobuf lays them out on the wire."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.pipeline.intake import Taken
from gateway.status import to_status
from protos.walletpush.v1 import delivery_pb2 as pb

# SendResult: notification_id is field 1 with the 36 characters of every id, status is field 2, a number below 128.
# Source: https://protobuf.dev/programming-guides/encoding/
_ID, _STATUS, _BYTES = "\x0a\x24", "\x10", 2 + 36 + 2
_ENDS = (f"{_STATUS}{chr(pb.SEND_STATUS_ACCEPTED)}", f"{_STATUS}{chr(pb.SEND_STATUS_DUPLICATE)}")
_BATCH, _STREAM = (
    f"{chr(message.DESCRIPTOR.fields_by_name['results'].number << 3 | 2)}{chr(_BYTES)}{_ID}"
    for message in (pb.SendBatchResponse, pb.SendStreamResponse)
)


def batch_response(taken: Sequence[Taken]) -> pb.SendBatchResponse:
    """Return the answer to a batch; made of a message for each it would cost three times as much."""
    if any(one.error for one in taken):
        return pb.SendBatchResponse(results=[_result(one) for one in taken])
    return pb.SendBatchResponse.FromString(_encoded(taken, _BATCH))


def stream_response(sequence: int, taken: Sequence[Taken]) -> pb.SendStreamResponse:
    """Return the answer to a chunk."""
    if any(one.error for one in taken):
        return pb.SendStreamResponse(sequence=sequence, results=[_result(one) for one in taken])
    answer = pb.SendStreamResponse.FromString(_encoded(taken, _STREAM))
    answer.sequence = sequence
    return answer


def _encoded(taken: Sequence[Taken], head: str) -> bytes:
    return "".join([f"{head}{one.notification_id}{_ENDS[one.duplicate]}" for one in taken]).encode("ascii")


def _result(taken: Taken) -> pb.SendResult:
    if taken.error is not None:
        return pb.SendResult(error=to_status(taken.error))
    status = pb.SEND_STATUS_DUPLICATE if taken.duplicate else pb.SEND_STATUS_ACCEPTED
    return pb.SendResult(notification_id=taken.notification_id, status=status)
