"""A finished span as the pipeline leaves it: cheap to make, encoded elsewhere."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import IntEnum

from gateway.tracing.port import SpanContext

Attribute = tuple[str, str | int]


class Kind(IntEnum):
    """As OTLP numbers them: https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3


@dataclass(slots=True)
class Span:
    """start_ns, end_ns: since 1970. error: why it failed, "" if it did not. remote: the parent is another process's."""

    name: str
    context: SpanContext
    parent_id: bytes
    start_ns: int
    end_ns: int
    attributes: tuple[Attribute, ...] = ()
    kind: Kind = Kind.INTERNAL
    error: str = ""
    remote: bool = False
    link: SpanContext | None = None


def new_trace_id() -> bytes:
    """Return 16 random bytes."""
    return random.getrandbits(128).to_bytes(16, "big")


def new_span_id() -> bytes:
    """Return 8 random bytes, not all zero."""
    return (random.getrandbits(64) or 1).to_bytes(8, "big")
