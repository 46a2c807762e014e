"""What the section on intake measures, by scale."""

from __future__ import annotations

from dataclasses import dataclass

from bench.intake.ways import BATCHES, CLIENT, SEND, STREAMS, Way
from bench.section import Scale


@dataclass(frozen=True, slots=True)
class ClosedCase:
    """One row of the closed loop. count: notifications of a run. usual: with the number of callers that is quoted."""

    way: Way
    callers: int
    count: int
    usual: bool = False

    @property
    def name(self) -> str:
        """The prefix of its figures."""
        return f"intake.{self.way.name}" + ("" if self.usual else f".callers_{self.callers}")


@dataclass(frozen=True, slots=True)
class OpenCase:
    """One row of the open loop. per_s: notifications."""

    way: Way
    per_s: int
    seconds: float

    @property
    def name(self) -> str:
        """The prefix of its figures."""
        return f"intake.open.{self.way.name}_{self.per_s}"


_CLOSED = (
    ClosedCase(SEND, 1, 800),
    ClosedCase(SEND, 10, 1_500),
    ClosedCase(SEND, 100, 1_500, usual=True),
    ClosedCase(SEND, 1_000, 3_000),
    ClosedCase(BATCHES[10], 1, 4_000),
    ClosedCase(BATCHES[10], 10, 10_000, usual=True),
    ClosedCase(BATCHES[10], 100, 10_000),
    ClosedCase(BATCHES[10], 1_000, 20_000),
    ClosedCase(BATCHES[100], 1, 20_000),
    ClosedCase(BATCHES[100], 10, 30_000, usual=True),
    ClosedCase(BATCHES[100], 100, 30_000),
    ClosedCase(BATCHES[500], 1, 40_000),
    ClosedCase(BATCHES[500], 10, 50_000, usual=True),
    ClosedCase(STREAMS[1], 1, 1_000),
    ClosedCase(STREAMS[1], 10, 2_000),
    ClosedCase(STREAMS[1], 100, 3_000, usual=True),
    ClosedCase(STREAMS[1], 1_000, 4_000),
    ClosedCase(STREAMS[10], 1, 4_000),
    ClosedCase(STREAMS[10], 10, 10_000),
    ClosedCase(STREAMS[10], 100, 15_000, usual=True),
    ClosedCase(STREAMS[100], 10, 40_000, usual=True),
    ClosedCase(STREAMS[500], 10, 50_000, usual=True),
    ClosedCase(CLIENT, 1, 800),
    ClosedCase(CLIENT, 10, 4_000),
    ClosedCase(CLIENT, 100, 10_000),
    ClosedCase(CLIENT, 1_000, 30_000, usual=True),
)
_RATES = {SEND: (100, 300, 500), CLIENT: (1_000, 5_000, 10_000), BATCHES[500]: (5_000, 15_000, 25_000)}
_SMOKE = {SEND, BATCHES[500], STREAMS[100], CLIENT}
_SMOKE_SHARE = 20


def closed_cases(scale: Scale) -> tuple[ClosedCase, ...]:
    """Return the closed loop's rows: all of them, the usual numbers of callers, or four small ones."""
    if scale is Scale.FULL:
        return _CLOSED
    usual = [case for case in _CLOSED if case.usual]
    if scale is Scale.QUICK:
        return tuple(usual)
    return tuple(
        ClosedCase(case.way, case.callers, case.count // _SMOKE_SHARE, usual=True)
        for case in usual
        if case.way in _SMOKE
    )


def open_cases(scale: Scale) -> tuple[OpenCase, ...]:
    """Return the open loop's rows: all rates for five seconds, the middle ones for three, or the lowest for a half."""
    if scale is Scale.FULL:
        return tuple(OpenCase(way, per_s, 5.0) for way, rates in _RATES.items() for per_s in rates)
    if scale is Scale.QUICK:
        return tuple(OpenCase(way, rates[1], 3.0) for way, rates in _RATES.items())
    return tuple(OpenCase(way, rates[0], 0.5) for way, rates in _RATES.items())
