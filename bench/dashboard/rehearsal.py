"""One run of a gateway from calm through troubles to its end, and what Prometheus saw of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypedDict

import yaml

from bench.dashboard.acts import ACTS, GONE, Act, Cue
from bench.dashboard.prometheus import EVALUATE_S, SCRAPE_S, Line, Prometheus, prometheus
from bench.dashboard.scene import Scene, scene
from gateway.monitoring.export import RULES, rules, shortened
from gateway.monitoring.queries import NAMES, event_queries, filled, panels

# Minutes become seconds: [5m] is 5 s with as many scrapes, and an hour is a minute.
DIVISOR = 60
RATE_INTERVAL = "5s"
# Ages are no windows, so shortening leaves them; an act has no hour for a campaign to grow old in.
LOWERED = (
    ('{class="service"}) > 300', '{class="service"}) > 3'),
    ('{class="marketing"}) > 3600', '{class="marketing"}) > 3'),
)
_WARM_UP_S = 4.0


class Told(NamedTuple):
    """An expression and the series that it had during the run. place: dashboard and panel, or the rule's file."""

    place: str
    expr: str
    lines: tuple[Line, ...]


class Firing(NamedTuple):
    """One alert with one set of labels, from its first to its last moment on fire."""

    alert: str
    labels: str
    first_s: float
    last_s: float


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What came of it; times are unix seconds. acts: where each began and ended. metrics: all names that were stored.

    messages: what each alert that fired said last.
    """

    acts: tuple[tuple[Act, float, float], ...]
    told: tuple[Told, ...]
    firing: tuple[Firing, ...]
    metrics: frozenset[str]
    messages: Mapping[str, str]

    def span(self, name: str) -> tuple[float, float]:
        """Return when an act began and ended."""
        return next((start_s, end_s) for act, start_s, end_s in self.acts if act.name == name)

    @property
    def start_s(self) -> float:
        """When the first act began."""
        return self.acts[0][1]

    @property
    def end_s(self) -> float:
        """When the last act was over."""
        return self.acts[-1][2]


class _Rule(TypedDict, total=False):
    record: str
    alert: str


class _Group(TypedDict):
    rules: list[_Rule]


async def rehearse(directory: Path, acts: Sequence[Act] = ACTS) -> Rehearsal:
    """Play all acts against one gateway; the last one begins with its end. Raises MissingPrometheus."""
    spans: list[tuple[Act, float, float]] = []
    async with AsyncExitStack() as watched:
        async with scene(directory) as played, _day(played):
            await played.callers.register_users()
            await asyncio.sleep(_WARM_UP_S)
            target = played.place.web.removeprefix("http://")
            server = await watched.enter_async_context(prometheus(directory / "prometheus", target, rule_files()))
            messages = await watched.enter_async_context(_listening(server))
            spans += [await _play(act, played) for act in acts if act is not GONE]
            stopped_s = time.time()
        if GONE in acts:
            spans.append((GONE, stopped_s, (await _play(GONE, None))[2]))
        told, firing = await _tell(server, spans), await _firing(server, spans)
        return Rehearsal(tuple(spans), told, firing, await server.metric_names(), messages)


def rule_files() -> dict[str, str]:
    """Return the shipped rules for a run of a minute: windows and waits divided, two ages lowered."""
    found = {name: shortened(rules(name), DIVISOR) for name in RULES}
    for shipped, lower in LOWERED:
        if shipped not in found["alerts.yml"]:
            raise ValueError(f"no alert says {shipped}")
        found["alerts.yml"] = found["alerts.yml"].replace(shipped, lower)
    return found


def recorded() -> list[str]:
    """Return the names of all recording rules."""
    groups: list[_Group] = yaml.safe_load(rules("recording.yml"))["groups"]
    return [rule["record"] for group in groups for rule in group["rules"]]


def alert_names() -> list[str]:
    """Return the names of all alerts, each once, in the order of their file."""
    groups: list[_Group] = yaml.safe_load(rules("alerts.yml"))["groups"]
    return list(dict.fromkeys(rule["alert"] for group in groups for rule in group["rules"]))


def expressions() -> list[tuple[str, str]]:
    """Return every expression of dashboards and recording rules as Prometheus is asked it, with its place."""
    found = [
        (f"{name}: {panel.title}", filled(query.expr, RATE_INTERVAL))
        for name in NAMES for panel in panels(name) for query in panel.queries
    ]  # fmt: skip
    found += [(f"{name}: events", expr) for name in NAMES for expr in event_queries(name)]
    return found + [("recording.yml", name) for name in recorded()]


@asynccontextmanager
async def _listening(server: Prometheus) -> AsyncIterator[dict[str, str]]:
    heard: dict[str, str] = {}

    async def listen() -> None:
        while True:
            heard.update(await server.messages())
            await asyncio.sleep(SCRAPE_S)

    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(listen())
        try:
            yield heard
        finally:
            listening.cancel()


@asynccontextmanager
async def _day(played: Scene) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        day = tasks.create_task(played.callers.day())
        try:
            yield
        finally:
            day.cancel()


async def _play(act: Act, played: Scene | None) -> tuple[Act, float, float]:
    start_s = time.time()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.sleep(act.seconds))
        for cue in act.cues:
            if played is not None:
                tasks.create_task(_follow(cue, played))
    return act, start_s, time.time()


async def _follow(cue: Cue, played: Scene) -> None:
    await asyncio.sleep(cue.after_s)
    await cue.trouble(played, cue.seconds)


async def _tell(server: Prometheus, spans: Sequence[tuple[Act, float, float]]) -> tuple[Told, ...]:
    start_s, end_s = spans[0][1], spans[-1][2]
    return tuple(
        [Told(place, expr, tuple(await server.lines(expr, start_s, end_s))) for place, expr in expressions()]
    )


async def _firing(server: Prometheus, spans: Sequence[tuple[Act, float, float]]) -> tuple[Firing, ...]:
    lines = await server.lines('ALERTS{alertstate="firing"}', spans[0][1], spans[-1][2], EVALUATE_S)
    found = []
    for line in lines:
        plain = {name: value for name, value in line.labels.items() if name not in _BORING}
        text = " ".join(f"{name}={value}" for name, value in sorted(plain.items()))
        found += [Firing(line.labels["alertname"], text, first_s, last_s) for first_s, last_s in _spells(line.times)]
    return tuple(sorted(found, key=lambda firing: firing.first_s))


def _spells(times: Sequence[float]) -> list[tuple[float, float]]:
    spells = [(times[0], times[0])]
    for now_s in times[1:]:
        first_s, last_s = spells[-1]
        if now_s - last_s > 2 * EVALUATE_S:
            spells.append((now_s, now_s))
        else:
            spells[-1] = (first_s, now_s)
    return spells


_BORING = frozenset({"__name__", "alertname", "alertstate", "job", "instance", "severity"})
