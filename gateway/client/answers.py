"""What the client gives back where the contract's own messages say too much or too little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from protos.walletpush.v1 import delivery_pb2 as pb
from protos.walletpush.v1.receipt_pb2 import Receipt


class Accepted(NamedTuple):
    """The gateway has it durably. duplicate: its key was known, also from an earlier try of this very call."""

    id: str
    duplicate: bool


class Receipts(NamedTuple):
    """Receipts as they ended; cursor: give it to `watch_receipts` to go on behind them."""

    receipts: Sequence[Receipt]
    cursor: str


def accepted(answer: pb.SendResponse | pb.SendResult) -> Accepted:
    """Take the id and status out of an answer without an error."""
    return Accepted(answer.notification_id, answer.status == pb.SEND_STATUS_DUPLICATE)
