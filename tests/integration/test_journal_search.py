"""What several journals hold of one user: notifications in any segment, receipts by device, nothing of others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.journal.search import JournalSearch
from adapters.journal.sqlite import SqliteJournal, journal_path
from core.delivery import Delivery, Flow, Notification, assign_place
from core.errors import Unavailable
from core.hashing import SipHash
from core.model import Device, NotificationState, Provider, Target
from core.notification_id import format_id, make_id
from core.reaction import DELIVERED
from core.receipts import ReceiptLog
from core.storage import Segment
from gateway.frames import frame_prefix
from gateway.privacy.journals import JournalExport
from protos.walletpush.v1 import notification_pb2 as pb

APP, TAGS = "wallet", {"wallet": 7, "second": 8}
HASHES = SipHash(bytes(16))
TOKEN = "ab" * 32


class Registry:
    """Knows one user's devices."""

    async def list_devices(self, app: str, user_id: str) -> list[Device]:
        return [Device(app, user_id, Target(Provider.APNS, TOKEN.upper()))] if user_id == "lin" else []


def message(*users: str, app: str = APP, tokens: Sequence[str] = ()) -> bytes:
    devices = [pb.DeviceToken(provider=pb.PROVIDER_APNS, token=token) for token in tokens]
    told = pb.Notification(app=app, user_ids=users, devices=devices, content=pb.Content(title="Rent", body="lin"))
    return frame_prefix("bank", 1_000) + told.SerializeToString(deterministic=True)


async def append(journal: SqliteJournal, frames: list[bytes]) -> int:
    """Append one segment whose first place is unused, as a duplicate's is."""
    seq, count = journal.next_segment(), len(frames) + 1
    states = bytes([NotificationState.SUPPRESSED, *[NotificationState.ACCEPTED] * len(frames)])
    await journal.append(Segment(seq, 1_000, [b"", *frames], os.urandom(16 * count), os.urandom(8 * count), states))
    return seq


async def deliver(journal: SqliteJournal, seq: int, key: int, app_tag: int = TAGS[APP]) -> None:
    log = ReceiptLog()
    one = Notification("bank", APP, "", 1, 1, b"", 1_000, 0, 9_000, 1, app_tag, (), (), None)
    assign_place(one, make_id(1_000, journal.number, seq, 1), seq, 1)
    one.open_deliveries = 9
    log.add_many([Delivery(one, "t", b"", None, key, 0, 1, 0, Flow(0, (), ()))], [DELIVERED], b"\1", 5_000)
    await journal.record(log.take())


def numbers_in(directory: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("journal-")) for path in directory.glob("journal-*.db"))


async def exported(directory: Path, user_id: str = "lin") -> dict[str, list[dict[str, Any]]]:
    export = JournalExport(
        Registry(), lambda: numbers_in(directory),
        lambda number: JournalSearch(journal_path(directory, number), number), HASHES, TAGS.__getitem__,
    )  # fmt: skip
    found: dict[str, list[dict[str, Any]]] = {}
    async for table, row in export.export(APP, user_id):
        found.setdefault(table, []).append(dict(row))
    return found


async def test_notifications_are_found_in_all_segments_of_all_journals_while_they_are_written(tmp_path: Path) -> None:
    journals = [await SqliteJournal.open(tmp_path, number) for number in (0, 3)]
    wanted = set()
    for journal in journals:
        for _ in range(5):
            seq = await append(journal, [message("wei"), message("lin"), message("linda")])
            wanted.add(format_id(make_id(1_000, journal.number, seq, 2)))
    held = await exported(tmp_path)
    assert held.keys() == {"notifications"}
    assert {one["notification_id"] for one in held["notifications"]} == wanted
    assert {one["tenant"] for one in held["notifications"]} == {"bank"}
    for journal in journals:
        await journal.close()


async def test_a_shared_notification_is_told_without_the_others(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path, 0)
    await append(journal, [
        message("wei", "lin", "linda", tokens=["cd" * 32]), message(tokens=[TOKEN.upper(), "cd" * 32]),
        message("lin", app="second"), message("wei", tokens=["cd" * 32]),
    ])  # fmt: skip
    told = [one["notification"] for one in (await exported(tmp_path))["notifications"]]
    assert [(one.get("user_ids", []), [each["token"] for each in one.get("devices", [])]) for one in told] == [
        (["lin"], []), ([], [TOKEN.upper()]),
    ]  # fmt: skip
    await journal.close()


async def test_receipts_are_found_by_device_or_user_and_app(tmp_path: Path) -> None:
    journal = await SqliteJournal.open(tmp_path, 0)
    named = {"device": TOKEN, "as registered": TOKEN.upper(), "user": "user\0lin", "other": "cd" * 32}
    keys = {what: HASHES.hash64(name) for what, name in named.items()}
    seqs = {}
    for name, key in keys.items():
        for _ in range(40):
            seqs[name] = await append(journal, [message("wei")])
            await deliver(journal, seqs[name], key)
    await deliver(journal, await append(journal, [message("wei")]), keys["device"], TAGS["second"])
    held = await exported(tmp_path)
    assert held.keys() == {"receipts"}
    assert {one["device_key"] for one in held["receipts"]} == {f"{keys[name]:016x}" for name in keys if name != "other"}
    assert len(held["receipts"]) == 120
    assert held["receipts"][-1]["notification_id"] == format_id(make_id(1_000, 0, seqs["user"], 1))
    assert await exported(tmp_path, "nobody") == {}
    await journal.close()


async def test_a_journal_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        JournalSearch(journal_path(tmp_path, 9), 9)
