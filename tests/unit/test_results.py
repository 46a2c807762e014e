"""Answers put together byte by byte are those that protobuf would have made."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.errors import Overloaded
from gateway.pipeline.intake import Taken
from gateway.results import batch_response, stream_response
from gateway.status import to_status
from protos.walletpush.v1 import delivery_pb2 as pb

FULL = Overloaded("full", 100)
accepted = st.builds(Taken, st.uuids().map(str), st.booleans())


def made_one_by_one(taken: list[Taken]) -> list[pb.SendResult]:
    return [
        pb.SendResult(error=to_status(one.error))
        if one.error is not None
        else pb.SendResult(notification_id=one.notification_id, status=2 if one.duplicate else 1)  # type: ignore[arg-type]
        for one in taken
    ]


@given(st.lists(st.one_of(accepted, accepted, st.just(Taken("", error=FULL))), max_size=20), st.integers(0, 2**40))
def test_answers_are_what_protobuf_makes_of_each(taken: list[Taken], sequence: int) -> None:
    results = made_one_by_one(taken)
    assert batch_response(taken) == pb.SendBatchResponse(results=results)
    assert stream_response(sequence, taken) == pb.SendStreamResponse(sequence=sequence, results=results)
