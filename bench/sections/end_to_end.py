"""(d) The whole way, durable: to tokens and to users, payments beside a campaign, and other gateways beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

import uvloop

from bench.cpu import quietest
from bench.end_to_end.delivering import Delivered, Workload, deliver
from bench.end_to_end.figures import (
    delivered_figures,
    delivered_table,
    peer_figures,
    stage_bars,
    stage_figures,
    stage_table,
    throughput_series,
)
from bench.end_to_end.mix import run_mix
from bench.end_to_end.mix_figures import mix_figures, mix_latencies, mix_table, mixed
from bench.end_to_end.stages import Stages, between, read_stages, together
from bench.end_to_end.users import register, user_workload
from bench.end_to_end.versus import sides, versus
from bench.load import batches
from bench.noted_answers import read_answers
from bench.peers.catalogue import find
from bench.peers.peer import NotInstalled
from bench.quiet import Rounds
from bench.received import Received, Throughput
from bench.results import Figure, Latencies, ResultTable, SectionResult, Series
from bench.section import BenchOptions, Progress
from bench.stand import ANSWERS_FILE, OTHER_CORE, Simulators, StandOptions, gateway, simulators
from bench.under_test import RunningWalletpush, WalletpushUnderTest

_BATCH = 500
_TARGET_PER_S = 40_000.0
_TOKENS = (3_000, 60_000, 200_000)
_USERS = (500, 20_000, 100_000)
_TO_USERS = (2_000, 40_000, 150_000)
_CAMPAIGN = (10_000, 200_000, 1_000_000)
_ALONE_S = (1, 4, 10)
_GATEWAY = WalletpushUnderTest()
_ROOM = "[dispatch]\nmax_pending = 2000000\n"
_NOTES = (
    f"SendBatch of {_BATCH}, journaled before each answer; counted until the simulator has taken everything.",
    "CPU is user and system time of the worker; RSS counts the shared dedup window as far as it was touched, and "
    "beside users what the workload to tokens left, since one worker takes both.",
    "Users have one to three devices, which the gateway looks up: two deliveries a notification on average.",
    "Payments are due at random moments, 100 a second on average, and are timed from then on: waiting until the "
    "gateway takes them in is part of it.",
    "A stage's time is what a message waits in it, not its CPU, and stages overlap between messages.",
)

class EndToEnd:
    """The section."""

    letter = "d"
    name = "end_to_end"
    title = "End to end: durable, to tokens and to users, beside a campaign"

    def run(self, options: BenchOptions, progress: Progress) -> SectionResult:
        """Measure on stands of its own; this process becomes the callers and keeps to their core."""
        os.sched_setaffinity(0, {OTHER_CORE})
        return uvloop.run(_Run(options, progress).measure())


SECTION = EndToEnd()


class _Run:
    def __init__(self, options: BenchOptions, progress: Progress) -> None:
        self._options, self._progress = options, progress
        self._done = 0
        self._figures: list[Figure] = []
        self._tables: list[ResultTable] = []
        self._series: list[Series] = []
        self._latencies: list[Latencies] = []
        self._notes = list(_NOTES)
        self._stages: dict[str, Stages] = {}

    async def measure(self) -> SectionResult:
        async with simulators(StandOptions()) as found:
            await self._plain(found.apart("plain"))
            await self._mix(found.apart("mix"))
        self._tables.append(stage_table(self._stages))
        for name in self._options.peers:
            await self._peer(name)
        return SectionResult(
            EndToEnd.name, tuple(self._figures), tuple(self._tables), tuple(self._latencies), tuple(self._series),
            bars=(stage_bars(("end_to_end.tokens", "end_to_end.users")),), notes=tuple(self._notes),
        )  # fmt: skip

    async def _plain(self, found: Simulators) -> None:
        users, count, to_users = (self._options.of(*sizes) for sizes in (_USERS, _TOKENS, _TO_USERS))
        devices = await register(found.directory / "data", users)
        self._notes.append(f"{users:,} users have {devices:,} registered devices.")

        def to_tokens(number: int) -> Workload:
            return Workload(list(batches(count, _BATCH, f"tokens-{number}")), count, count)

        def to_devices(number: int) -> Workload:
            return user_workload(to_users, users, _BATCH, f"users-{number}")

        async with _GATEWAY.start(found) as running:
            workloads = {
                "to tokens": await self._deliver(found, running, "tokens", to_tokens, _TARGET_PER_S),
                "to users": await self._deliver(found, running, "users", to_devices, None),
            }
        self._tables.append(delivered_table("End to end", workloads))

    async def _deliver(
        self, found: Simulators, running: RunningWalletpush, name: str, make: Callable[[int], Workload],
        target_per_s: float | None,
    ) -> Rounds[Delivered]:  # fmt: skip
        self._step(f"as fast as it goes, to {name}")
        others, web = (running.place.supervisor, found.process), running.place.web
        async with found.simulator() as simulator:
            received = Received(simulator)

            async def measure(number: int) -> Delivered:
                load, before = make(number), await read_stages(web)
                run = await deliver(running, _GATEWAY.in_flight, load, received, others)
                return replace(run, stages=between(before, await read_stages(web)))

            rounds = await quietest(self._options, measure)
        self._stages[name] = together([run.stages for run in rounds.counted])
        self._figures += delivered_figures(f"end_to_end.{name}", rounds, target_per_s)
        self._figures += stage_figures(f"end_to_end.{name}", rounds)
        self._draw("end_to_end.throughput", name, [one.throughput for one in rounds.counted])
        return rounds

    async def _mix(self, found: Simulators) -> None:
        self._step("payments alone, and beside a campaign")
        devices, alone_s = self._options.of(*_CAMPAIGN), self._options.of(*_ALONE_S)
        async with gateway(found, StandOptions(settings=_ROOM, probed=True)) as place:
            rounds = await quietest(self._options, lambda number: run_mix(place, devices, alone_s, f"mix-{number}"))
        told = mixed(rounds, read_answers(found.directory / ANSWERS_FILE))
        self._stages["payments alone"] = together([one.alone_stages for one in rounds.counted])
        self._stages["payments and campaign"] = together([one.beside_stages for one in rounds.counted])
        self._figures += mix_figures(told)
        self._tables.append(mix_table(told))
        self._latencies += mix_latencies(told)
        self._draw("end_to_end.mix.throughput", "campaign and payments", [one.throughput for one in rounds.counted])

    async def _peer(self, name: str) -> None:
        self._step(f"{name} and walletpush in turn")
        peer = find(name)
        try:
            version = peer.version()
        except NotInstalled as error:
            self._notes.append(f"{error}.")
            return
        rounds = await versus(peer, self._options)
        self._figures += peer_figures(name, rounds)
        self._tables.append(delivered_table(f"{name} {version}, {peer.mode} simulators", sides(name, rounds)))
        self._notes += peer.notes

    def _step(self, doing: str) -> None:
        self._progress.step(self._done, 3 + len(self._options.peers), doing)
        self._done += 1

    def _draw(self, plot: str, name: str, runs: Sequence[Throughput]) -> None:
        lines = [(f"{name} {number}", run) for number, run in enumerate(runs, 1)]
        self._series += throughput_series(plot, lines)
