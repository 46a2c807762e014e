"""The account as a table for people, or as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TextIO

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from gateway.demo.account import Account, Latency


def as_json(account: Account) -> str:
    """Return the account as one JSON object."""
    return orjson.dumps({**dataclasses.asdict(account), "good": account.good}, option=orjson.OPT_INDENT_2).decode()


def draw(account: Account, stream: TextIO) -> None:
    """Print the account."""
    drawn = Table("what happened", title="The account", box=box.SIMPLE_HEAD, title_justify="left")
    drawn.add_column("", justify="right")
    for name, text, good in _rows(account):
        drawn.add_row(name, text, style=None if good is None else "green" if good else "bold red")
    Console(file=stream).print(drawn)


def _rows(account: Account) -> Iterator[tuple[str, str, bool | None]]:
    yield "notifications accepted", f"{account.accepted:,}", None
    for error, n in account.not_taken.items():
        yield f"  not taken: {error}", f"{n:,}", False
    yield "deliveries ended", f"{account.deliveries:,}", None
    yield "  accepted by the providers", f"{account.delivered:,}", None
    for reason, n in sorted(account.ended_otherwise.items()):
        yield f"  {reason}", f"{n:,}", None
    yield "callers' retries answered DUPLICATE", f"{account.duplicates_answered:,} of {account.repeats:,}", None
    removed = account.dead_removed == account.dead_addressed
    yield "dead tokens removed", f"{account.dead_removed:,} of {account.dead_addressed:,}", removed
    yield "live tokens removed", f"{account.removed_by_mistake:,}", not account.removed_by_mistake
    yield "lost", f"{account.lost:,}", not account.lost
    yield "sent twice", f"{account.sent_twice:,}", not account.sent_twice
    yield "notifications/s end to end: in the campaign", f"{account.campaign_per_s:,.0f}", None
    yield "  in the best second", f"{account.best_per_s:,}", None
    yield "  over the whole run", f"{account.deliveries_per_s:,.0f}", None
    yield "payment latency, providers well (p50 / p99)", _latency(account.payments_calm), None
    yield "payment latency, outages included", _latency(account.payments_all), None
    yield "security alert latency, outages included", _latency(account.alerts_all), None


def _latency(latency: Latency) -> str:
    return f"{latency.p50_ms:,.0f} / {latency.p99_ms:,.0f} ms"
