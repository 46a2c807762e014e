"""Keys that seal personal data: made, rotated beside running workers, resealed, dropped, and refused when wrong."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.people import sealing
from adapters.people.sealing import Sealer, make_ring, place, read_ring, rotate_ring
from adapters.people.sqlite import SqlitePeople
from adapters.registry.sqlite import SqliteRegistry
from core.errors import StoreFailure
from core.people import User, UserChange
from gateway.cli import main

APP = "wallet"


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "people.json"
    assert make_ring(path)
    return path


def test_a_ring_is_made_once_for_its_owner_alone(ring: Path) -> None:
    made = ring.read_bytes()
    assert not make_ring(ring)
    assert (ring.read_bytes(), ring.stat().st_mode & 0o777) == (made, 0o600)


def test_what_is_sealed_opens_only_where_it_belongs_and_unaltered(ring: Path) -> None:
    sealer = Sealer(ring)
    here, there = place("users.private", APP, "anna"), place("users.private", APP, "bob")
    sealed = sealer.seal(b"+4912345", here)
    assert sealer.open(sealed, here) == b"+4912345"
    assert (sealer.seal(b"", here), sealer.open(b"", here)) == (b"", b"")
    assert sealer.seal(b"+4912345", here) != sealed
    for altered, where in ((sealed, there), (sealed[:-1] + bytes([sealed[-1] ^ 1]), here), (sealed[:20], here)):
        with pytest.raises(StoreFailure):
            sealer.open(altered, where)
    with pytest.raises(StoreFailure, match="lacks key"):
        sealer.open(b"\0\0\0\0" + sealed[4:], here)


def test_a_running_worker_notices_a_rotation_and_old_keys_still_open(
    ring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealer, other, where = Sealer(ring), Sealer(ring), place("x", APP, "anna")
    old = sealer.seal(b"old", where)
    key_id = rotate_ring(ring)
    assert sealer.seal(b"still", where)[:4] == old[:4]
    monkeypatch.setattr(sealing, "LOOK_AGAIN_S", 0.0)
    new = sealer.seal(b"new", where)
    assert new[:4].hex() == key_id
    # The other has not looked yet, but an unknown key makes it look.
    assert [other.open(one, where) for one in (old, new)] == [b"old", b"new"]
    assert other.index("a", "b") == sealer.index("a", "b") != sealer.index("ab")


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.unlink(), "cannot read"),
        (lambda path: path.write_text("{"), "not a key file"),
        (lambda path: path.write_text("[]"), "not a key file"),
        (lambda path: path.write_text('{"index_key": "AA==", "keys": []}'), "wrong length"),
        (lambda path: path.chmod(0o640), "chmod 600"),
    ],
)
def test_a_wrong_key_file_is_refused_by_name(ring: Path, damage: Callable[[Path], object], why: str) -> None:
    damage(ring)
    with pytest.raises(StoreFailure, match=why) as refused:
        read_ring(ring)
    assert "people.json" in str(refused.value)


async def phones(directory: Path, ring: Path, *store: str) -> dict[str, str]:
    registry = await SqliteRegistry.open(directory)
    people = await SqlitePeople.open(directory, ring, registry)
    for user_id in store:
        await people.upsert([UserChange(User(APP, user_id, phone=f"+49{user_id}"), frozenset({"phone"}))], 1)
    found = {user_id: await people.get(APP, user_id) for user_id in ("1", "2", "3")}
    await people.close()
    await registry.close()
    return {user_id: user.phone for user_id, user in found.items() if user is not None}


def test_keys_are_rotated_and_old_ones_dropped_by_command(
    ring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "walletpush.toml"
    config.write_text(f"data_dir = {json.dumps(str(tmp_path))}\n")
    asyncio.run(phones(tmp_path, ring, "1"))
    first = set(read_ring(ring).keys)
    command(["keys", "rotate", "-c", str(config)])
    asyncio.run(phones(tmp_path, ring, "2"))
    # As if the rotation had been a minute ago: nobody need be waited for.
    os.utime(ring, (ring.stat().st_atime - 60, ring.stat().st_mtime - 60))
    command(["keys", "reseal", "-c", str(config), "--drop"])
    assert "sealed 1 users anew, dropped 1 keys" in capsys.readouterr().out
    assert not first & set(read_ring(ring).keys)
    assert asyncio.run(phones(tmp_path, ring, "3")) == {"1": "+491", "2": "+492", "3": "+493"}


def command(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code
