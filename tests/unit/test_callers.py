"""Who calls: keys, certificates and permissions."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.callers import LOCAL, CallerBook, PermissionDenied, Unauthenticated, hash_key, new_key
from gateway.settings.components import CallerSettings
from gateway.settings.values import SecretFile


def book(*settings: CallerSettings) -> CallerBook:
    return CallerBook(settings)


def test_without_callers_every_call_is_local() -> None:
    caller = book().identify(None)
    assert caller is LOCAL
    assert (caller.name, caller.tenant) == ("local", "default")
    caller.require("manage_devices")
    caller.require_app("anything")


def test_new_key_is_known_by_its_hash_alone() -> None:
    key, key_hash = new_key()
    assert len(key) >= 40
    assert key_hash == hash_key(key)
    caller = book(CallerSettings(name="pay", tenant="t", apps=("w",), key_sha256=(key_hash,))).identify(f"Bearer {key}")
    assert (caller.name, caller.tenant, caller.apps) == ("pay", "t", frozenset({"w"}))


def test_new_keys_differ() -> None:
    assert len({new_key()[0] for _ in range(100)}) == 100


def test_both_keys_work_while_they_are_rotated() -> None:
    (old, old_hash), (new, new_hash) = new_key(), new_key()
    callers = book(CallerSettings(name="pay", apps=("*",), key_sha256=(old_hash, new_hash)))
    assert callers.identify(f"Bearer {old}") == callers.identify(f"bearer {new}".encode())


@pytest.mark.parametrize(
    "shown",
    [None, "", "Bearer ", "Bearer x", "Basic {key}", "{key}", "Bearer {key}x", "Bearer " + "k" * 500, b"\xff"],
)
def test_anything_but_a_known_key_is_unauthenticated(shown: str | bytes | None) -> None:
    key, key_hash = new_key()
    callers = book(CallerSettings(name="pay", apps=("*",), key_sha256=(key_hash,)))
    text = shown.replace("{key}", key) if isinstance(shown, str) else shown
    with pytest.raises(Unauthenticated) as raised:
        callers.identify(text)
    assert key not in str(raised.value)


def test_the_hash_itself_is_no_key() -> None:
    _, key_hash = new_key()
    with pytest.raises(Unauthenticated):
        book(CallerSettings(name="pay", apps=("*",), key_sha256=(key_hash,))).identify(f"Bearer {key_hash}")


def test_certificate_name_identifies_without_a_key() -> None:
    callers = book(CallerSettings(name="pay", apps=("*",), client_name="pay.svc"))
    assert callers.identify(None, ["other", "pay.svc"]).name == "pay"
    with pytest.raises(Unauthenticated):
        callers.identify(None, ["other"])


def test_wrong_key_beside_a_known_certificate_is_refused() -> None:
    callers = book(CallerSettings(name="pay", apps=("*",), client_name="pay.svc"))
    with pytest.raises(Unauthenticated):
        callers.identify("Bearer wrong", ["pay.svc"])


def test_hashes_can_lie_in_a_file(tmp_path: Path) -> None:
    keys = [new_key() for _ in range(3)]
    path = tmp_path / "hashes"
    path.write_text("\n".join(key_hash for _, key_hash in keys) + "\n")
    callers = book(CallerSettings(name="pay", apps=("*",), key_hash_file=SecretFile(path, "")))
    assert {callers.identify(f"Bearer {key}").name for key, _ in keys} == {"pay"}


@pytest.mark.parametrize("text", ["not a hash\n", "", "AB" * 32, "ab" * 32 + "\nx"])
def test_hash_file_with_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hashes"
    path.write_text(text)
    with pytest.raises(ValidationError, match="one SHA-256"):
        CallerSettings(name="pay", apps=("*",), key_hash_file=SecretFile(path, ""))


def test_caller_does_only_what_it_may() -> None:
    key, key_hash = new_key()
    settings = CallerSettings(name="pay", apps=("w",), key_sha256=(key_hash,), may_read_receipts=False)
    caller = book(settings).identify(f"Bearer {key}")
    caller.require("send")
    caller.require_app("w")
    with pytest.raises(PermissionDenied, match="read_receipts"):
        caller.require("read_receipts")
    with pytest.raises(PermissionDenied, match="app other"):
        caller.require_app("other")
