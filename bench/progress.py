"""How far a section is, told by its process over a pipe, one line of JSON each time."""

from __future__ import annotations

import os
from dataclasses import dataclass

import orjson
from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Step:
    """`done` of `total` steps are behind; doing: what is done now."""

    done: int
    total: int
    doing: str


class PipeProgress:
    """Writes steps to a file descriptor, which no process started from here inherits."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor

    def step(self, done: int, total: int, doing: str) -> None:
        """Write one line."""
        os.write(self._descriptor, orjson.dumps(Step(done, total, doing)) + b"\n")


class SilentProgress:
    """Tells nobody."""

    def step(self, done: int, total: int, doing: str) -> None:
        """Do nothing."""


_STEP = TypeAdapter(Step)


def read_step(line: bytes) -> Step:
    """Return the step of a line. Raises pydantic.ValidationError."""
    return _STEP.validate_json(line)
