"""What a `bench.probed_gateway` leaves: when each notification came, and when its provider answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple

RECORD = Struct("<16sqq")


class Answer(NamedTuple):
    """When a notification arrived in the intake, and when its provider answered for it, both in CLOCK_MONOTONIC."""

    accepted_ns: int
    answered_ns: int


def read_answers(path: Path) -> dict[bytes, Answer]:
    """Return what was noted, by the notification's 16 bytes; of several deliveries the last."""
    records: Iterator[tuple[bytes, int, int]] = RECORD.iter_unpack(path.read_bytes())
    return {ident: Answer(accepted_ns, answered_ns) for ident, accepted_ns, answered_ns in records}
