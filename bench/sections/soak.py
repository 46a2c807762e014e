"""(g) Soak: load at a third of a core for long, while providers fail in every way they know; and the account."""

from __future__ import annotations

import os

import uvloop

from bench.results import SectionResult
from bench.section import BenchOptions, Progress, Scale
from bench.soak.figures import (
    account_table,
    recovery_table,
    soak_figures,
    soak_latencies,
    soak_series,
    times_table,
)
from bench.soak.load import Rates
from bench.soak.people import People
from bench.soak.run import Soak, run_soak
from bench.stand import OTHER_CORE, StandOptions, simulators

_RATES = Rates()
_FEW = Rates(payments_per_s=60.0, batch=60, batch_s=1.0)
_USERS = (600, 20_000, 20_000)
_FANS = (60, 2_000, 2_000)
_NOTES = (
    f"Payments are due at random moments, {_RATES.payments_per_s:,.0f} a second on average, each sent by itself "
    f"through the batching client; beside them a campaign of {_RATES.batch:,} every {_RATES.batch_s:.0f} s. Half of "
    "the users are at FCM, and those of the campaign have agreed to it.",
    "Every trouble meets both providers at the same time; between troubles is a recovery, which counts by itself, and "
    "a calm. The truthful simulators answer after 8 ms, the median of a log-normal distribution.",
    "Times run from when a payment was due: until the gateway's answer, in us, and until its receipt says that the "
    "provider took it, in ms. Callers and simulators share a core, and their own waits are part of it.",
    "Lost are notifications that were accepted and have no receipt, or whose receipt says delivered and whose provider "
    "does not know them. Given up are those that ended neither by a provider's yes nor by a dead device.",
    "What the gateway keeps for a time (idempotency keys, receipts) is kept for a sixth of the soak; slopes are over "
    "its last two thirds. RSS has the shared dedup window and the pages of mapped files in it, the heap has not.",
)


class SoakSection:
    """The section."""

    letter = "g"
    name = "soak"
    title = "Soak: load for long, with every fault that providers have"

    def run(self, options: BenchOptions, progress: Progress) -> SectionResult:
        """Measure on a stand of its own; this process becomes the callers and keeps to their core."""
        os.sched_setaffinity(0, {OTHER_CORE})
        return uvloop.run(_measure(options, progress))


SECTION = SoakSection()


async def _measure(options: BenchOptions, progress: Progress) -> SectionResult:
    def tell(at_s: float, doing: str) -> None:
        progress.step(int(at_s), options.soak_s, doing)

    rates = _FEW if options.scale is Scale.SMOKE else _RATES
    people = People(options.of(*_USERS), options.of(*_FANS))
    async with simulators(StandOptions(mode="truthful")) as found:
        return _result(await run_soak(found, options.soak_s, rates, people, tell))


def _result(soak: Soak) -> SectionResult:
    return SectionResult(
        SoakSection.name, tuple(soak_figures(soak)), (account_table(soak), times_table(soak), recovery_table(soak)),
        tuple(soak_latencies(soak)), tuple(soak_series(soak)), notes=_NOTES,
    )  # fmt: skip
