"""An export is one JSON object in small parts, whatever the sources give."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.audit import AuditLine, Link
from core.errors import Overloaded, StoreFailure
from core.frequency import FrequencyCounters
from core.hashing import SipHash
from core.people import ConsentMethod
from core.policy.people import Channel
from core.privacy import Erasure, subject_hash
from core.values import Moment, Money
from gateway.callers import LOCAL, current_caller
from gateway.privacy.export import CHUNK_BYTES, export_chunks, plain, readable
from gateway.privacy.sources import AuditExport, CountExport, ErasureExport
from gateway.scopes import Scopes
from gateway.services.privacy import PrivacyServicer
from protos.walletpush.v1 import privacy_pb2 as pb
from tests.unit.virtual_time import LoopClock

SECRET = SipHash(bytes(16))
Table = tuple[str, Sequence[Mapping[str, object]]]


class Store:
    """A source of tables; counts the rows that it was asked for."""

    name = "store"

    def __init__(self, *tables: Table) -> None:
        self.tables = tables
        self.given = 0

    async def export(self, app: str, user_id: str) -> AsyncIterator[tuple[str, Mapping[str, object]]]:
        for table, rows in self.tables:
            for row in rows:
                self.given += 1
                yield table, row


async def parts(*stores: Store) -> list[bytes]:
    return [chunk async for chunk in export_chunks(stores, "wallet", "lin", 5)]


texts = st.text(st.characters(codec="utf-8"), max_size=20)
# What a column's name makes of its value is another test's.
names = texts.map("{} of the row".format)
rows = st.lists(st.dictionaries(names, st.one_of(texts, st.integers(-(1 << 53), 1 << 53), st.none())), max_size=4)


@given(st.dictionaries(texts.filter(lambda name: name not in {"app", "user_id", "export_time"}), rows, max_size=6))
async def test_parts_together_are_the_tables_of_all_sources(tables: dict[str, list[dict[str, object]]]) -> None:
    half = len(tables) // 2
    listed = list(tables.items())
    chunks = await parts(Store(*listed[:half]), Store(*listed[half:]))
    told = json.loads(b"".join(chunks))
    assert told == {
        "app": "wallet", "user_id": "lin", "export_time": "1970-01-01T00:00:00.005Z",
        **{name: rows for name, rows in listed if rows},
    }  # fmt: skip


async def test_large_rows_are_sent_in_parts_while_the_rest_is_still_unread() -> None:
    store = Store(("notes", [{"text": "星" * 10_000}] * 100))
    chunks = export_chunks([store], "wallet", "lin", 5)
    first = await anext(chunks)
    assert len(first) == CHUNK_BYTES
    assert store.given == 3
    sizes = [len(chunk) async for chunk in chunks]
    assert all(size == CHUNK_BYTES for size in sizes[:-1])
    assert len(sizes) == 45


async def test_two_sources_of_one_table_are_a_fault() -> None:
    with pytest.raises(StoreFailure, match="twice"):
        await parts(Store(("a", [{}]), ("b", [{}]), ("a", [{}])))
    with pytest.raises(StoreFailure, match="twice"):
        await parts(Store(("a", [{}])), Store(("a", [{}])))


def test_values_are_told_as_people_read_them() -> None:
    held = {
        "method": ConsentMethod.REPLY, "channel": Channel.PUSH, "key": b"\x01\xff", "balance": Money(3, "CNY"),
        "seen": Moment(7), "day": date(2024, 2, 29), "tags": ("a", "b"), "none": None, "flag": True,
    }  # fmt: skip
    assert plain(held) == {
        "method": "reply", "channel": "push", "key": "01ff", "balance": {"minor_units": 3, "currency": "CNY"},
        "seen": "1970-01-01T00:00:00.007Z", "day": "2024-02-29", "tags": ["a", "b"], "none": None, "flag": True,
    }  # fmt: skip
    with pytest.raises(StoreFailure, match="object"):
        plain(object())


def test_rows_tell_numbers_by_name_and_leave_what_users_named_alone() -> None:
    row = {
        "channel": 0, "granted": 1, "permission": 3, "said_unix_ms": 1_500, "end_unix_ms": 0,
        "time_unix_ms": 86_400_000,
        "target": {"token": "ab", "registered_unix_ms": 2}, "attributes": {"channel": 99, "seen_unix_ms": 5},
    }  # fmt: skip
    assert readable(row) == {
        "channel": "every", "granted": True, "permission": "denied", "said_time": "1970-01-01T00:00:01.500Z",
        "end_time": None, "time": "1970-01-02T00:00:00.000Z",
        "target": {"token": "ab", "registered_time": "1970-01-01T00:00:00.002Z"},
        "attributes": {"channel": 99, "seen_unix_ms": 5},
    }  # fmt: skip


class Proofs:
    """core.privacy.Eraser that erased one user."""

    async def erase(self, app: str, user_id: str, reason: str, actor: str, now_unix_ms: int) -> Erasure:
        raise NotImplementedError

    async def find(self, app: str, user_id: str) -> Erasure | None:
        return Erasure("h", 9, {"users": 1}, "officer", "asked", "s") if user_id == "gone" else None


class Log:
    """core.audit.AuditLog over a list, newest first."""

    def __init__(self, lines: Sequence[AuditLine]) -> None:
        self.links = [Link(number, line, b"") for number, line in enumerate(lines, 1)][::-1]

    async def append(self, lines: Sequence[AuditLine]) -> None:
        raise NotImplementedError

    async def lines(self, app: str, subject_hash: str, before: int, limit: int) -> list[Link]:
        mine = [one for one in self.links if one.line.app == app and one.line.subject_hash == subject_hash]
        return [one for one in mine if not before or one.number < before][:limit]


async def test_audit_lines_of_the_user_alone_are_given_over_all_pages() -> None:
    mine, other = subject_hash(SECRET, "wallet", "lin"), subject_hash(SECRET, "wallet", "wei")
    log = Log([AuditLine(n, "wallet", "care", "a", mine if n % 2 else other) for n in range(2_400)])
    found = [row async for row in AuditExport(log, SECRET).export("wallet", "lin")]
    assert [row["time_unix_ms"] for _, row in found] == list(range(2_399, 0, -2))


async def test_counters_and_proofs_are_given_of_the_user_alone() -> None:
    memory = bytearray(FrequencyCounters.required_bytes(64))
    FrequencyCounters.create(memory, 64)
    counters = FrequencyCounters(memory)
    user = SECRET.derive("cap user of wallet").hash64("lin")
    counters.add_events(user, [(7, 1, 1, False), (5, 2, 1, True)], 8)
    export = CountExport(counters, SECRET)
    assert [row async for row in export.export("wallet", "lin")] == [
        ("counted_notifications", {"time_unix_ms": 5_000, "reserved": True}),
        ("counted_notifications", {"time_unix_ms": 7_000, "reserved": False}),
    ]
    assert [row async for row in export.export("second", "lin")] == []
    (row,) = [row async for row in ErasureExport(Proofs()).export("wallet", "gone")]
    assert row == ("erasures", {"erased_unix_ms": 9, "removed_counts": {"users": 1}, "reason": "asked"})
    assert [row async for row in ErasureExport(Proofs()).export("wallet", "lin")] == []


async def test_a_fifth_export_at_a_time_is_told_to_wait() -> None:
    store = Store(("notes", [{"text": "x" * CHUNK_BYTES}] * 3))
    scopes = Scopes({"wallet": frozenset({1})}, SECRET)
    service = PrivacyServicer([store], Proofs(), Log([]), SECRET, scopes, LoopClock())
    current_caller.set(LOCAL)
    request = pb.ExportUserRequest(app="wallet", user_id="lin")
    running = [service.ExportUser(request, None) for _ in range(5)]  # type: ignore[arg-type]  # not asked for
    for one in running[:4]:
        await anext(one)
    with pytest.raises(Overloaded):
        await anext(running[4])
    assert len([part async for part in running[0]]) == 3
    assert len([part async for part in service.ExportUser(request, None)]) == 4  # type: ignore[arg-type]
    for one in running[1:4]:
        assert len([part async for part in one]) == 3
