"""Draws a snapshot for a terminal of any size."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from gateway.top.alarms import OLDEST_S, Alarm, alarms
from gateway.top.figures import ClassFigures, LaneFigures, Latency, ProcessFigures, RouteFigures, Snapshot
from gateway.top.grid import Cell, Column, Picture, grid
from gateway.top.history import ASCII_BARS, BARS, KEPT, History, sparkline
from gateway.top.source import NoAnswer

MAX_ALARMS = 3
_STYLES = {"critical": "bold white on red", "warning": "bold yellow"}
_QUANTILES = (Column("p50 ms"), Column("p90 ms", leaves=7), Column("p99 ms"))
_CLASSES = (
    Column("class", left=True), Column("accepted/s"), Column("repeats/s", leaves=6), Column("ended/s", leaves=3),
    Column("waiting"), Column("oldest", leaves=2), *_QUANTILES,
    Column("last minute", leaves=9, left=True, picture=12),
)  # fmt: skip
_ROUTES = (
    Column("provider", left=True), Column("app", left=True, leaves=1), Column("sent/s"),
    Column("delivered/s", leaves=2),
    Column("failed/s"), Column("retried/s", leaves=4), Column("waiting", leaves=5), Column("in flight", leaves=6),
    Column("conns", leaves=7), Column("breaker"), Column("p50 ms", leaves=3), Column("p90 ms", leaves=8),
    Column("p99 ms", leaves=1), Column("last minute", leaves=9, left=True, picture=12),
)  # fmt: skip

_LANES = (
    Column("lane", left=True), Column("app", left=True, leaves=1), Column("class", left=True), Column("waiting"),
    Column("oldest"),
)  # fmt: skip


class Screen:
    """A renderable of the last snapshot; trouble: why there is none of this moment."""

    def __init__(self, where: str, hint: str = "", *, full: bool = False) -> None:
        """hint: stands in the title. full: draw everything, however high the terminal is."""
        self.history = History()
        self.now: Snapshot | None = None
        self.trouble = ""
        self.silent_since_s = 0.0
        self._where = where
        self._hint = hint
        self._full = full

    def take(self, found: Snapshot | NoAnswer) -> None:
        """Take the next snapshot, or note that the gateway did not answer."""
        if isinstance(found, Snapshot):
            self.now, self.trouble = found, ""
            self.history.add(found)
            return
        if not self.trouble:
            self.silent_since_s = time.monotonic()
        self.trouble = str(found)
        self.history.skip()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw as much as there is room for."""
        width, height = options.max_width, 10_000 if self._full else options.max_height
        bars = ASCII_BARS if options.ascii_only else BARS
        parts: list[RenderableType] = [self._title(width)]
        if self.now is None:
            yield Group(*parts)
            return
        body = _body(self.now, self.history, width, height - 1, bars)
        if self.trouble:
            for part in body:
                if isinstance(part, Text):
                    part.stylize("dim")
        yield Group(*parts, *body)

    def _title(self, width: int) -> Text:
        if self.trouble:
            silent_s = time.monotonic() - self.silent_since_s
            text = f"walletpush {self._where}  no answer for {silent_s:.0f} s: {self.trouble}; trying on"
            return _line(Text(text, style="bold white on red"), width)
        if self.now is None:
            return _line(Text(f"walletpush {self._where}  looking"), width)
        now = self.now
        clock = time.strftime("%H:%M:%S", time.localtime(now.at_unix_s))
        title = Text.assemble((f"walletpush {now.version}".rstrip(), "bold"), f"  {self._where}  {clock}")
        style = "bold red" if now.workers_ready < now.workers else ""
        title.append(f"  workers {now.workers_ready}/{now.workers}", style)
        title.append(f"  pending {now.pending:,}  calls {now.calls_under_way:,}")
        if title.cell_len + 2 + len(self._hint) <= width:
            title.append(f"  {self._hint}", "dim")
        return _line(title, width)


def _body(now: Snapshot, history: History, width: int, height: int, bars: str) -> list[RenderableType]:
    found = alarms(now)
    told = found[:MAX_ALARMS] if len(found) <= MAX_ALARMS else found[: MAX_ALARMS - 1]
    lines = [_alarm(alarm, width) for alarm in told]
    if len(told) < len(found):
        lines.append(_line(Text(f"and {len(found) - len(told)} more", "yellow"), width))
    head = [_totals(now, history, width, bars), *lines, Text("")]
    classes = grid(_CLASSES, [_class(one, history, bars) for one in now.classes], width)
    tail: list[RenderableType] = [_refused(now, width), Text(""), _stores(now, width)]
    tail += [_processes(now.processes, width)] if now.processes else []
    room = height - len(head) - len(now.classes) - 1 - len(tail) - 2
    routes = _most_wanted(now.routes, max(room, 1))
    rows = [_route(one, history, bars) for one in routes]
    left = len(now.routes) - len(routes)
    more = [_line(Text(f"and {left} more routes", "dim"), width)] if left else []
    lanes = _lanes(now.lanes, room - len(rows) - len(more), width)
    return [*head, classes, tail[0], Text(""), grid(_ROUTES, rows, width), *more, *lanes, *tail[1:]]


def _totals(now: Snapshot, history: History, width: int, bars: str) -> Text:
    spark = max(8, min(KEPT, (width - 44) // 2))
    return _line(
        Text.assemble(
            ("accepted ", "dim"), (f"{now.accepted_per_s:>8,.0f}/s ", "bold"),
            (sparkline(history.of(), spark, bars), "green"),
            ("  delivered ", "dim"), (f"{now.delivered_per_s:>8,.0f}/s ", "bold"),
            (sparkline(history.of("delivered"), spark, bars), "cyan"),
        ),
        width,
    )  # fmt: skip


def _class(one: ClassFigures, history: History, bars: str) -> Sequence[Cell]:
    late = "bold yellow" if one.oldest_s > OLDEST_S[one.name] / 10 else ""
    return (
        one.name, _rate(one.accepted_per_s), _rate(one.duplicate_per_s), _rate(one.answered_per_s),
        f"{one.waiting:,}", Text(_age(one.oldest_s), late), *_quantiles(one.latency),
        _picture(history.of(one.name), bars, "green"),
    )  # fmt: skip


def _route(one: RouteFigures, history: History, bars: str) -> Sequence[Cell]:
    breaker = {"closed": "green", "half_open": "bold yellow", "open": "bold white on red"}[one.breaker]
    return (
        one.provider, one.app, _rate(one.sent_per_s), _rate(one.delivered_per_s),
        _bad(one.failed_per_s, "red"), _bad(one.retried_per_s, "yellow"), f"{one.waiting:,}", f"{one.in_flight:,}",
        Text(f"{one.connections}", "" if one.connections else "bold red"),
        Text(one.breaker.replace("_", " "), breaker), *_quantiles(one.latency),
        _picture(history.of(one.provider, one.app), bars, "cyan"),
    )  # fmt: skip


def _lanes(lanes: Sequence[LaneFigures], room: int, width: int) -> list[RenderableType]:
    """Return the lanes in which something waits, the oldest first, as far as there is room."""
    shown = sorted(lanes, key=lambda lane: -lane.oldest_s)[: max(0, room - 2)]
    rows = [(one.provider, one.app, one.name, f"{one.waiting:,}", _age(one.oldest_s)) for one in shown]
    return [Text(""), grid(_LANES, rows, width)] if rows else []


def _picture(values: Sequence[float], bars: str, style: str) -> Picture:
    return lambda width: Text(sparkline(values, width, bars), style)


def _refused(now: Snapshot, width: int) -> Text:
    rejected = [f"{reason} {per_s:,.0f}/s" for reason, per_s in now.rejected_per_s.items()]
    text = "  ".join(rejected) if rejected else "nothing"
    return _line(Text.assemble(("rejected  ", "dim"), (text, "yellow" if rejected else "dim")), width)


def _stores(now: Snapshot, width: int) -> Text:
    stores = now.stores
    parts = [
        f"commit p50 {_ms(stores.commit.p50_ms)} p99 {_ms(stores.commit.p99_ms)} ms",
        f"size {_size(stores.journal_bytes)}", f"fill {stores.journal_fill:.0%}",
        f"dedup {stores.dedup_fill:.0%}", f"lag {_ms(stores.loop_lag.p99_ms)} ms",
    ]  # fmt: skip
    return _line(Text.assemble(("journal   ", "dim"), "  ".join(parts)), width)


def _processes(processes: Iterable[ProcessFigures], width: int) -> Text:
    parts = (f"{one.name} {one.cpu:.0%} {_size(one.resident_bytes)}" for one in processes)
    return _line(Text.assemble(("processes ", "dim"), "  ".join(parts)), width)


def _alarm(alarm: Alarm, width: int) -> Text:
    return _line(Text(f"{'!!' if alarm.severity == 'critical' else '! '} {alarm.text}", _STYLES[alarm.severity]), width)


def _most_wanted(routes: Sequence[RouteFigures], count: int) -> list[RouteFigures]:
    """Return so many routes, those with trouble and then the busiest before the others, in their usual order."""
    if len(routes) <= count:
        return list(routes)
    wanted = sorted(routes, key=lambda one: (one.breaker == "closed" and one.connections > 0, -one.sent_per_s))
    chosen = {(one.provider, one.app) for one in wanted[: max(count - 1, 1)]}
    return [one for one in routes if (one.provider, one.app) in chosen]


def _quantiles(latency: Latency) -> tuple[str, str, str]:
    return _ms(latency.p50_ms), _ms(latency.p90_ms), _ms(latency.p99_ms)


def _ms(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def _rate(per_s: float) -> str:
    return f"{per_s:.1f}" if 0 < per_s < 10 else f"{per_s:,.0f}"


def _bad(per_s: float, style: str) -> Text:
    return Text(_rate(per_s), style if per_s else "")


def _age(seconds: float) -> str:
    if not seconds:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.0f} h"


def _size(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if count >= size:
            return f"{count / size:.1f} {unit}" if count < 10 * size else f"{count / size:,.0f} {unit}"
    return f"{count >> 10} KiB"


def _line(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis")
    text.no_wrap = True
    return text
