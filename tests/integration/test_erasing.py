"""Erasing over real stores: every table is covered, a failure is taken up again, proofs cannot be altered."""

from __future__ import annotations

import asyncio
import importlib
import os
import pkgutil
import sqlite3
from array import array
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

import adapters
from adapters.erasures.sqlite import SqliteErasures
from adapters.journal.sqlite import SqliteJournal
from adapters.journal.sqlite_file import Schema
from adapters.people.sealing import make_ring
from adapters.people.sqlite import SqlitePeople
from adapters.registry.sqlite import SqliteRegistry
from core.delivery import Delivery, Flow, Notification, assign_place
from core.errors import Unavailable
from core.frequency import FrequencyCounters
from core.hashing import SipHash
from core.model import Device, Provider, Target
from core.notification_id import make_id
from core.people import Consent, ConsentMethod, User, UserChange
from core.policy.people import QuietWindow, Suppression
from core.privacy import subject_hash
from core.reaction import DELIVERED
from core.receipts import ReceiptLog
from core.storage import Segment
from gateway.count_moves import CounterMoves
from gateway.erasure.eraser import UserEraser
from gateway.erasure.subject import Subject
from gateway.erasure.workers import HostWorkers
from gateway.erasure_parts import StoreFiles, list_journals
from gateway.frames import frame_prefix
from gateway.metrics import Metrics
from gateway.peers import Peers
from gateway.pipeline.clock import SystemClock
from protos.walletpush.v1 import notification_pb2 as pb

APP, ME, OTHER = "wallet", "lin-wei-4711", "an-other-user"
PHONE, EMAIL, CRM, TOKEN = "+8613911112222", "lin@example.com", "crm-4711-77", "c0ffee" * 10 + "0a1b"
NAMES = (ME, PHONE, EMAIL, CRM, TOKEN)
SECRET = SipHash(bytes(range(16)))
# Rows and values that are "erased" go with the user; of the others it is said why they may stay.
ERASED = "erased"
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "file of users": {
        **dict.fromkeys(
            ("users", "external_ids", "consents", "choices", "suppressions", "quiet_windows", "departures"), ERASED
        ),
        "permits": "empty but within one transaction",
        "seals": "the fingerprint of a ring of keys",
    },
    "registry": {"devices": ERASED},
    "journal": {
        "payloads": ERASED,
        "receipts": "unlinked: device keys are 0 then",
        "segments": "keyed hashes of idempotency keys and bodies, numbers and states",
    },
    "record of erasures": {
        "under_way": ERASED,
        "erasures": "proofs, under a keyed hash",
    },
    "template store": {"versions": "texts of the app", "heads": "names of templates"},
    "audit log": {"records": "under a keyed hash", "ends": "of the chain of records"},
}  # fmt: skip


def schemas() -> dict[str, Schema]:
    """Return every kind of SQLite file that there is, by what it is called."""
    found: dict[str, Schema] = {}
    for module in pkgutil.walk_packages(adapters.__path__, "adapters."):
        if not module.name.endswith("__main__"):
            for one in vars(importlib.import_module(module.name)).values():
                if isinstance(one, Schema):
                    found[one.name] = one
    return found


def tables_of(schema: Schema) -> set[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in schema.create:
            connection.execute(statement)
        rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return {name for (name,) in rows}


@dataclass(slots=True)
class Host:
    """Stores with a user in each of them, and no worker but idle journals."""

    directory: Path
    people: SqlitePeople
    registry: SqliteRegistry
    erasures: SqliteErasures
    counters: FrequencyCounters
    peers: Peers

    def eraser(self, number: int = 99) -> UserEraser:
        """Return an eraser of a worker that has no journal of its own."""
        workers = HostWorkers(
            number=number, own=Nobody(), peers=self.peers, hasher=SECRET.derive("devices"),  # type: ignore[arg-type]
            list_journals=partial(list_journals, self.directory),
            open_idle=partial(SqliteJournal.open, self.directory),
        )  # fmt: skip
        return UserEraser(
            erasures=self.erasures, people=self.people, registry=self.registry,
            files=StoreFiles(self.directory),
            counts=CounterMoves(self.counters, SECRET.derive("policy")), workers=workers, secret=SECRET,
            metrics=Metrics(), clock=SystemClock(),
        )  # fmt: skip


class Nobody:
    """No worker of this number has anything."""

    async def erase(self, subject: Subject) -> Mapping[str, int]:
        """Find nothing."""
        raise Unavailable(f"no worker, {len(subject.devices)} devices")


def device(user_id: str, token: str) -> Device:
    return Device(APP, user_id, Target(Provider.APNS, token, registered_unix_ms=5))


async def fill_people(people: SqlitePeople, registry: SqliteRegistry, user_id: str, token: str) -> None:
    user = User(APP, user_id, phone=PHONE, email=EMAIL, external_ids={"crm": CRM if user_id == ME else "crm-1"})
    await people.upsert([UserChange(user, frozenset({"phone", "email", "external_ids"}))], 1_000)
    yes = Consent("promotion", 1, True, ConsentMethod.APP, "v1", "app", 1, f"said {user_id}")
    await people.record(APP, user_id, [yes], 1_000)
    await people.set_quiet_windows(APP, user_id, [QuietWindow(0, 60, 127, "", False)])
    await people.suppress(APP, user_id, Suppression("survey", 0, False, "asked", 0))
    await registry.register([device(user_id, token)])


async def fill_journal(directory: Path, number: int) -> None:
    journal = await SqliteJournal.open(directory, number)
    frames = [
        frame_prefix("tenant", 1_000) + pb.Notification(
            idempotency_key=f"k{place}", app=APP, user_ids=users, notification_class=pb.NOTIFICATION_CLASS_SERVICE,
            content=pb.Content(title=ME if users == [ME] else "Rent"),
        ).SerializeToString(deterministic=True)
        for place, users in enumerate(([ME], [OTHER, ME], [OTHER]))
    ]  # fmt: skip
    seq = journal.next_segment()
    await journal.append(Segment(seq, 1_000, frames, os.urandom(48), os.urandom(24), bytes([0, 7, 0])))
    log = ReceiptLog()
    for token in (TOKEN, "another"):
        one = Notification("tenant", APP, "", 1, 1, b"", 1_000, 0, 9_000, 1, 2, (), (), None)
        assign_place(one, make_id(1_000, number, seq, 1), seq, 1)
        one.open_deliveries = 9
        key = SECRET.derive("devices").hash64(token)
        log.add_many([Delivery(one, token, b"", None, key, 0, 1, 0, Flow(0, (), ()))], [DELIVERED], b"\1", 5_000)
    await journal.record(log.take())
    await journal.close()


@pytest_asyncio.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    make_ring(tmp_path / "keys" / "people.json")
    (tmp_path / "run").mkdir()
    registry = await SqliteRegistry.open(tmp_path)
    people = await SqlitePeople.open(tmp_path, tmp_path / "keys" / "people.json", registry)
    for user_id, token in ((ME, TOKEN), (OTHER, "beef" * 16)):
        await fill_people(people, registry, user_id, token)
    for number in (0, 3):
        await fill_journal(tmp_path, number)
    memory = memoryview(array("Q", bytes(FrequencyCounters.required_bytes(100)))).cast("B")
    FrequencyCounters.create(memory, 100, 60)
    made = Host(
        tmp_path, people, registry, await SqliteErasures.open(tmp_path), FrequencyCounters(memory),
        Peers(tmp_path / "run"),
    )  # fmt: skip
    yield made
    await made.peers.close()
    await made.erasures.close()
    await people.close()
    await registry.close()


def rows_that_name(directory: Path) -> list[str]:
    """Return where a table's value names the user, whatever its type."""
    found = []
    for path in directory.glob("*.db"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            for (table,) in tables:
                for row in connection.execute(f"SELECT * FROM {table}"):
                    texts = [value if isinstance(value, bytes) else str(value).encode() for value in row]
                    found += [f"{path.name}:{table}" for text in texts if any(one.encode() in text for one in NAMES)]
    return sorted(set(found))


def files_that_name(directory: Path) -> list[str]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [path.name for path in files if any(one.encode() in path.read_bytes() for one in NAMES)]


def test_every_table_of_every_file_is_known_to_erasing() -> None:
    found = schemas()
    assert set(found) == set(COLUMNS), "a new kind of file: say what erasing does about each of its tables"
    for name, schema in found.items():
        assert tables_of(schema) <= set(COLUMNS[name]), f"a new table of the {name}: say what erasing does about it"


async def test_no_table_and_no_file_names_an_erased_user(host: Host) -> None:
    named = rows_that_name(host.directory)
    covered = {table for tables in COLUMNS.values() for table, why in tables.items() if why == ERASED}
    assert {one.partition(":")[2] for one in named} <= covered
    assert {"people.db:users", "registry.db:devices", "journal-0.db:payloads"} <= set(named)
    exported = {table for table, _ in [row async for row in host.people.export(APP, ME)]}
    assert exported == {"users", "consents", "choices", "suppressions", "quiet_windows"}
    proof = await host.eraser().erase(APP, ME, "letter", "clerk", 1)
    assert rows_that_name(host.directory) == []
    assert files_that_name(host.directory) == []
    assert [row async for row in host.people.export(APP, ME)] == []
    assert {table: count for table, count in proof.removed_counts.items() if count} == {
        "people.users": 1, "people.external_ids": 1, "people.choices": 1, "people.suppressions": 1,
        "people.quiet_windows": 1, "people.consents": 1, "registry.devices": 1,
        "journal.payloads": 4, "journal.receipts": 2,
    }  # fmt: skip
    assert await host.people.get(APP, OTHER) is not None
    assert len(await host.registry.list_devices(APP, OTHER)) == 1


async def test_what_a_failure_interrupts_is_finished_later_and_counted_whole(host: Host) -> None:
    (host.directory / "journal-99.db").touch()
    with pytest.raises(Unavailable):
        await host.eraser(99).erase(APP, ME, "letter", "clerk", 1)
    (host.directory / "journal-99.db").unlink()
    (noted,) = await host.erasures.under_way()
    assert noted.removed_counts["registry.devices"] == 1
    assert all(one.encode() not in noted.sealed for one in NAMES)
    later = host.eraser(98)
    assert await later.find(APP, ME) is None
    running = asyncio.ensure_future(later.run())
    async with asyncio.timeout(20):
        while (proof := await later.find(APP, ME)) is None:
            assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (proof.removed_counts["people.users"], proof.removed_counts["journal.receipts"]) == (1, 2)
    assert await host.erasures.under_way() == []
    assert files_that_name(host.directory) == []


async def test_callers_who_ask_at_once_share_one_erasure_and_its_proof(host: Host) -> None:
    eraser = host.eraser()
    first, second = await asyncio.gather(*(eraser.erase(APP, ME, "letter", "clerk", 1) for _ in range(2)))
    assert first == second
    assert await eraser.erase(APP, ME, "again", "clerk", 2) == first
    assert first.subject_hash == subject_hash(SECRET, APP, ME)


async def test_a_proof_that_was_altered_is_none(host: Host) -> None:
    eraser = host.eraser()
    await eraser.erase(APP, ME, "letter", "clerk", 1)
    with closing(sqlite3.connect(host.directory / "erasures.db")) as connection, connection:
        connection.execute("UPDATE erasures SET reason = 'no letter'")
    assert await eraser.find(APP, ME) is None


async def test_a_user_nobody_knew_gets_a_proof_that_nothing_was_held(host: Host) -> None:
    proof = await host.eraser().erase(APP, "nobody", "letter", "clerk", 1)
    assert not any(proof.removed_counts.values())
    assert await host.eraser().find(APP, "nobody") == proof

