"""One soak: a gateway under load for its time, troubles one after the other, and the account at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from bench.soak.account import Account, draw_up
from bench.soak.book import Book
from bench.soak.load import Load, Rates
from bench.soak.people import People
from bench.soak.phases import Phase, Timeline
from bench.soak.samples import Sample, Sampler
from bench.soak.troubles import TROUBLES
from bench.soak.weather import Weather
from bench.stand import Simulators, Stand, StandOptions, gateway
from gateway.client import Walletpush
from gateway.secret import load_secret

_SAMPLES = 360
_LEAST_SAMPLE_S = 1.0
_SETTLE_S = 240.0
_WAIT_S = 0.1
_DEFAULT_TIMEOUT_S = 30.0
_KEEPS_S = 60.0
Tell = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Soak:
    """What a soak leaves. settled_s: from the last notification until the last receipt."""

    timeline: Timeline
    samples: tuple[Sample, ...]
    book: Book
    account: Account
    settled_s: float


def settings_of(seconds: float, rates: Rates) -> str:
    """Return the gateway's settings: what it keeps for a time is let go of within the first third, to see it settle.

    A short soak does not wait half a minute for each answer that never comes.
    """
    per_s = rates.payments_per_s + rates.batch / rates.batch_s
    window_s = max(_KEEPS_S, seconds / 6)
    # Its memory is touched place by place, and grows until the last was used once: for a quarter of the soak.
    return f"""
[dedup]
window_s = {window_s:.0f}
capacity = {int(1.5 * window_s * per_s)}
[journal]
retention_s = {window_s:.0f}
[dispatch]
request_timeout_s = {min(_DEFAULT_TIMEOUT_S, max(1.0, seconds / 30)):.1f}
"""


async def run_soak(found: Simulators, seconds: float, rates: Rates, people: People, tell: Tell) -> Soak:
    """Run it. tell: hears of each phase as it begins, and when. Raises whatever a part of it raises, as a group."""
    timeline = Timeline(seconds, [trouble.name for trouble in TROUBLES])
    await people.register(found.directory / "data")
    options = StandOptions(mode="truthful", settings=settings_of(seconds, rates))
    async with gateway(found, options) as place, Walletpush(place.address) as client:
        await people.agree(place.address)
        return await _Run(found, place, client, people, timeline, rates, tell).soak()


class _Run:
    def __init__(
        self, found: Simulators, place: Stand, client: Walletpush, people: People, timeline: Timeline, rates: Rates,
        tell: Tell,
    ) -> None:  # fmt: skip
        self._found, self._place, self._client, self._people = found, place, client, people
        self._timeline, self._rates, self._tell = timeline, rates, tell

    async def soak(self) -> Soak:
        async with self._found.simulator() as simulator, aiohttp.ClientSession() as session:
            weather = Weather(simulator, self._people, self._client, self._on_phase)
            await weather.clear()
            book = Book(self._timeline, time.time_ns() // 1_000)
            sampler = Sampler(self._place, book, session)
            async with asyncio.TaskGroup() as tasks:
                watching = (
                    tasks.create_task(self._follow(book)), tasks.create_task(sampler.run(self._sample_s())),
                )
                async with asyncio.TaskGroup() as course:
                    course.create_task(weather.run(self._timeline))
                    course.create_task(Load(self._rates, self._people, self._client, book).run(self._timeline.seconds))
                settled_s = await self._settle(book)
                for task in watching:
                    task.cancel()
            devices = load_secret(self._place.directory / "data").derive("devices")
            account = await draw_up(book, self._people, simulator, devices)
        return Soak(self._timeline, tuple(sampler.samples), book, account, settled_s)

    def _on_phase(self, phase: Phase) -> None:
        self._tell(phase.start_s, f"{phase.stage} {phase.trouble}".rstrip())

    def _sample_s(self) -> float:
        return max(_LEAST_SAMPLE_S, self._timeline.seconds / _SAMPLES)

    async def _follow(self, book: Book) -> None:
        async for told in self._client.watch_receipts("begin"):
            book.hear(told.receipts)

    async def _settle(self, book: Book) -> float:
        """Wait until everything has its receipt, at most four minutes."""
        self._tell(self._timeline.seconds, "waiting for the last receipts")
        began_s = time.monotonic()
        while book.open and time.monotonic() - began_s < _SETTLE_S:
            await asyncio.sleep(_WAIT_S)
        return time.monotonic() - began_s
