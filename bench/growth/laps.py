"""Gateways over registries of every size that take turns, so that a slow minute falls on all of them alike."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import psutil

from adapters.registry.sqlite import SqliteRegistry
from bench.cpu import Spent
from bench.end_to_end.delivering import Delivered, deliver
from bench.growth.population import build, user_id, users_of, warm
from bench.growth.workload import BATCH, Draw, by_zipf, evenly, workload
from bench.received import Received
from bench.stand import APP, Simulators
from bench.under_test import RunningWalletpush, WalletpushUnderTest

DRAWS: dict[str, Draw] = {"even": evenly, "zipf": by_zipf}
_GATEWAY = WalletpushUnderTest()
Doing = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done with each size, in batches of 500. warm: how many of them before anything counts.

    turns: how often in a lap it is a size's turn, with so many batches. looks: look-ups of 500 users a lap.
    """

    warm: int
    turns: int
    batches: int
    looks: int


@dataclass(frozen=True, slots=True)
class Place:
    """A gateway over one registry, and the registry itself, opened beside it."""

    users: int
    devices: int
    running: RunningWalletpush
    registry: SqliteRegistry


@dataclass(frozen=True, slots=True)
class SizeRun:
    """One size in one lap, for one way of drawing. look_us: what finding a user's devices took."""

    users: int
    devices: int
    turns: tuple[Delivered, ...]
    look_us: float

    @property
    def notifications(self) -> int:
        """How many there were."""
        return sum(turn.load.notifications for turn in self.turns)

    @property
    def deliveries(self) -> int:
        """How many came of them."""
        return sum(turn.load.deliveries for turn in self.turns)

    @property
    def per_s(self) -> float:
        """Notifications a second, end to end."""
        return self.notifications / sum(turn.delivered_s for turn in self.turns)

    @property
    def cpu_us(self) -> float:
        """CPU of the worker a notification."""
        return sum(turn.spent.gateway_s for turn in self.turns) / self.notifications * 1e6

    @property
    def delivery_cpu_us(self) -> float:
        """CPU of the worker a delivery."""
        return sum(turn.spent.gateway_s for turn in self.turns) / self.deliveries * 1e6


@dataclass(frozen=True, slots=True)
class Lap:
    """Every size, by the way of drawing, the smallest first."""

    runs: dict[str, tuple[SizeRun, ...]]

    @property
    def spent(self) -> Spent:
        """What its most disturbed turn took."""
        turns = [turn.spent for runs in self.runs.values() for run in runs for turn in run.turns]
        return max(turns, key=lambda spent: spent.foreign_percent)


@asynccontextmanager
async def places(found: Simulators, sizes: Sequence[int], doing: Doing) -> AsyncIterator[list[Place]]:
    """Build a registry of each size and run a gateway over it, all at the same time, until left."""
    async with AsyncExitStack() as stack:
        made = []
        for devices in sizes:
            doing(f"building {devices:,} devices")
            apart = found.apart(f"devices-{devices}")
            data_dir, users = apart.directory / "data", users_of(devices)
            registered = build(data_dir, users)
            running = await stack.enter_async_context(_GATEWAY.start(apart))
            registry = await SqliteRegistry.open(data_dir)
            stack.push_async_callback(registry.close)
            warm(data_dir)
            made.append(Place(users, registered, running, registry))
        yield made


class Course:
    """Runs laps over the places; `warm_up` comes first."""

    def __init__(self, found: Simulators, ready: Sequence[Place], effort: Effort, received: Received) -> None:
        self._found, self._places, self._effort, self._received = found, ready, effort, received

    async def warm_up(self) -> None:
        """Let every gateway and registry touch what it will need."""
        for place in self._places:
            for name, draw in DRAWS.items():
                await self._turn(place, draw, self._effort.warm, f"warm-{name}")
                await self._look_us(place, draw, 0)

    async def lap(self, number: int) -> Lap:
        """Give every place its turns, each way of drawing; in every other turn the largest begins."""
        return Lap({name: await self._draw(draw, f"{name}-{number}", number) for name, draw in DRAWS.items()})

    async def _draw(self, draw: Draw, run: str, lap: int) -> tuple[SizeRun, ...]:
        made: dict[int, list[Delivered]] = {place.devices: [] for place in self._places}
        for turn in range(self._effort.turns):
            for place in self._places[:: -1 if turn % 2 else 1]:
                made[place.devices].append(await self._turn(place, draw, self._effort.batches, f"{run}-{turn}"))
        return tuple([
            SizeRun(place.users, place.devices, tuple(made[place.devices]), await self._look_us(place, draw, lap))
            for place in self._places
        ])  # fmt: skip

    async def _turn(self, place: Place, draw: Draw, batches: int, run: str) -> Delivered:
        load = workload(draw, place.users, batches, run)
        return await deliver(place.running, _GATEWAY.in_flight, load, self._received, self._others(place))

    def _others(self, place: Place) -> list[psutil.Process]:
        """Return what else this process started: it disturbs nobody, or did so on purpose."""
        idle = [other.running for other in self._places if other is not place]
        supervisors = [other.running.place.supervisor for other in self._places]
        return [self._found.process, *supervisors, *(process for one in idle for process in one.processes())]

    async def _look_us(self, place: Place, draw: Draw, lap: int) -> float:
        rng = random.Random(lap)
        return statistics.median([
            await _look(place.registry, draw(rng, place.users, BATCH)) for _ in range(self._effort.looks)
        ])  # fmt: skip


async def _look(registry: SqliteRegistry, users: Sequence[int]) -> float:
    names = list(dict.fromkeys(map(user_id, users)))
    began_ns = time.perf_counter_ns()
    await registry.devices_of(APP, names)
    return (time.perf_counter_ns() - began_ns) / len(names) / 1e3
