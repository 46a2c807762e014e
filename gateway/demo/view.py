"""Shows the demonstration while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TextIO

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gateway.demo.book import KINDS, Book
from gateway.demo.gauges import Gauges
from gateway.demo.plan import Plan

LANES = {"security": "security", "payment": "transactional", "service": "", "pass": "", "campaign": "service"}
RECENT_S = 5.0
LINE_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class _Point:
    at_s: float
    accepted: Counter[str] = field(default_factory=Counter)
    delivered: Counter[str] = field(default_factory=Counter)


class View:
    """Use as a context manager; `show` is called a few times a second."""

    def __init__(self, plan: Plan, book: Book, stream: TextIO) -> None:
        self._plan = plan
        self._book = book
        self._console = Console(file=stream)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._marks: list[str] = []
        self._told: set[str] = set()
        self._start_s = time.monotonic()
        self._points = [_Point(0.0)]
        self._line_s = 0.0

    def __enter__(self) -> View:
        """Begin to draw."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Leave the last picture."""
        if self._live is not None:
            self._live.stop()

    def start(self) -> None:
        """Count time from now."""
        self._start_s = time.monotonic()

    def mark(self, text: str) -> None:
        """Tell an event."""
        line = f"{time.monotonic() - self._start_s:6.1f} s  {text}"
        self._marks.append(line)
        if self._live is None:
            self._console.print(line, highlight=False)

    def show(self, gauges: Gauges) -> None:
        """Draw the state of things."""
        now_s = time.monotonic() - self._start_s
        self._points.append(_Point(now_s, Counter(self._book.accepted), Counter(self._book.delivered)))
        while len(self._points) > 2 and self._points[1].at_s < now_s - 1.0:
            del self._points[0]
        for error in self._book.errors.keys() - self._told:
            self._told.add(error)
            self.mark(f"not taken: {error}")
        if self._live is not None:
            self._live.update(self._picture(now_s, gauges), refresh=True)
        elif now_s - self._line_s >= LINE_EVERY_S:
            self._line_s = now_s
            self._console.print(self._line(now_s, gauges), highlight=False, soft_wrap=True)

    def _picture(self, now_s: float, gauges: Gauges) -> Group:
        drawn = Table("load", "lane", box=box.SIMPLE)
        for column in ("accepted", "/s", "delivered", "/s", "waiting"):
            drawn.add_column(column, justify="right")
        book = self._book
        for kind in KINDS:
            waiting = f"{gauges.queue[LANES[kind]]:,}" if LANES[kind] else ""
            accepted, delivered = f"{book.accepted[kind]:,}", f"{book.delivered[kind]:,}"
            accepted_s, delivered_s = self._rates(kind)
            rates = f"{accepted_s:,.0f}", f"{delivered_s:,.0f}"
            drawn.add_row(kind, LANES[kind] or "service", accepted, rates[0], delivered, rates[1], waiting)
        head = Text(f"walletpush demo  {min(now_s, self._plan.seconds):4.1f} of {self._plan.seconds:g} s", style="bold")
        return Group(head, drawn, *(Text(line) for line in self._facts(gauges)), Text(""), *map(Text, self._marks))

    def _facts(self, gauges: Gauges) -> list[str]:
        p50_ms, p99_ms = self._recent_ms()
        retried = ", ".join(f"{reason} {n:,}" for reason, n in sorted(gauges.retried.items())) or "none"
        return [
            f"payments, last {RECENT_S:.0f} s   p50 {p50_ms:,.0f} ms   p99 {p99_ms:,.0f} ms",
            f"breakers   {_breakers(gauges)}",
            f"retried    {retried}",
            f"duplicates answered {self._book.duplicates_answered:,}   dead tokens removed {gauges.retired:,}",
        ]

    def _line(self, now_s: float, gauges: Gauges) -> str:
        accepted, delivered = self._book.accepted.total(), self._book.delivered.total()
        rates = [self._rates(kind) for kind in KINDS]
        p50_ms, p99_ms = self._recent_ms()
        return (
            f"{now_s:6.1f} s  accepted {accepted:,} ({sum(rate[0] for rate in rates):,.0f}/s)  "
            f"delivered {delivered:,} ({sum(rate[1] for rate in rates):,.0f}/s)  waiting {gauges.queue.total():,}  "
            f"retried {gauges.retried.total():,}  payments p50 {p50_ms:,.0f} p99 {p99_ms:,.0f} ms  {_breakers(gauges)}"
        )

    def _rates(self, kind: str) -> tuple[float, float]:
        first, last = self._points[0], self._points[-1]
        seconds = max(last.at_s - first.at_s, 0.001)
        accepted = last.accepted[kind] - first.accepted[kind]
        return accepted / seconds, (last.delivered[kind] - first.delivered[kind]) / seconds

    def _recent_ms(self) -> tuple[float, float]:
        since_s = time.monotonic() - RECENT_S
        found = sorted(ms for at_s, ms in self._book.payment_ms if at_s >= since_s)
        return (found[len(found) // 2], found[len(found) * 99 // 100]) if found else (0.0, 0.0)


def _breakers(gauges: Gauges) -> str:
    return "  ".join(f"{provider} {state}" for provider, state in sorted(gauges.breakers.items())) or "no breaker yet"
