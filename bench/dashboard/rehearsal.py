"""One run of a gateway from calm through troubles to its end, and what Prometheus saw of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypedDict

import yaml

from bench.dashboard.acts import ACTS, GONE, Act, Cue
from bench.dashboard.prometheus import EVALUATE_S, Line, Prometheus, prometheus
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
# A trouble whose alert has not fired by then brings none.
_PATIENCE_S = 60.0
_SILENCE_S = 4 * EVALUATE_S


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
    """Play all acts against one gateway; GONE begins with its end. Raises MissingPrometheus."""
    spans: list[tuple[Act, float, float]] = []
    async with AsyncExitStack() as watched:
        async with scene(directory) as played, _day(played):
            await played.callers.register_users()
            await asyncio.sleep(_WARM_UP_S)
            target = played.place.web.removeprefix("http://")
            server = await watched.enter_async_context(prometheus(directory / "prometheus", target, rule_files()))
            ears = await watched.enter_async_context(_listening(server))
            spans += [await _play(act, played, ears) for act in acts if act is not GONE]
            stopped_s = time.time()
        if GONE in acts:
            spans.append((GONE, stopped_s, (await _play(GONE, played, ears))[2]))
        told, firing = await _tell(server, spans), await _firing(server, spans)
        return Rehearsal(tuple(spans), told, firing, await server.metric_names(), ears.messages)


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


class _Ears:
    """Hears which alerts fire. messages: what each said last."""

    def __init__(self, server: Prometheus) -> None:
        self.messages: dict[str, str] = {}
        self._server = server
        self._heard_s: dict[str, float] = {}

    async def listen(self) -> None:
        """Ask until cancelled."""
        while True:
            found = await self._server.messages()
            self.messages.update(found)
            self._heard_s.update(dict.fromkeys(found, time.monotonic()))
            await asyncio.sleep(EVALUATE_S)

    async def until_all(self, alerts: Iterable[str], since_s: float) -> None:
        """Return when each of the alerts was heard since then (monotonic), or patience is at its end."""
        await _until(lambda: all(self._heard_s.get(alert, 0.0) > since_s for alert in alerts))

    async def until_silent(self, alerts: Iterable[str]) -> None:
        """Return when none of the alerts was heard for some evaluations, or patience is at its end."""
        await _until(lambda: all(time.monotonic() - self._heard_s.get(alert, 0.0) > _SILENCE_S for alert in alerts))


async def _until(good: Callable[[], bool]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            while not good():
                await asyncio.sleep(EVALUATE_S / 2)


@asynccontextmanager
async def _listening(server: Prometheus) -> AsyncIterator[_Ears]:
    ears = _Ears(server)
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(ears.listen())
        try:
            yield ears
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


async def _play(act: Act, played: Scene, ears: _Ears) -> tuple[Act, float, float]:
    start_s = time.time()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.sleep(act.least_s))
        for cue in act.cues:
            tasks.create_task(_follow(cue, played, ears))
    await ears.until_silent(act.ends)
    return act, start_s, time.time()


async def _follow(cue: Cue, played: Scene, ears: _Ears) -> None:
    began_s, over = time.monotonic(), asyncio.Event()
    await asyncio.sleep(cue.after_s)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cue.trouble(played, over))  # type: ignore[arg-type]
        await ears.until_all(cue.brings, began_s)
        over.set()


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
