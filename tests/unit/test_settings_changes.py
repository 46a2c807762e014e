"""What a reload finds changed, and what of it needs a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings.changes import changes, in_force
from gateway.settings.loading import load
from gateway.settings.root import Settings


def settings(tmp_path: Path, text: str) -> Settings:
    key = tmp_path / "key.p8"
    if not key.exists():
        key.write_text("one")
        key.chmod(0o600)
    path = tmp_path / "w.toml"
    path.write_text(text)
    return load(path, {})


def app(name: str, connections: int = 2) -> str:
    return (
        f'[[apps]]\nid = "{name}"\n[apps.apns]\ntopic = "t"\nteam_id = "ABCDE12345"\nkey_id = "FGHIJ67890"\n'
        f'key_file = "key.p8"\nconnections = {connections}\n'
    )


def test_same_settings_have_no_changes(tmp_path: Path) -> None:
    text = app("a")
    assert not changes(settings(tmp_path, text), settings(tmp_path, text))


def test_apps_are_told_apart_by_id(tmp_path: Path) -> None:
    before = settings(tmp_path, app("a") + app("b") + app("c"))
    found = changes(before, settings(tmp_path, app("b") + app("c", 5) + app("d")))
    assert found.apps_added == {"d"}
    assert found.apps_removed == {"a"}
    assert found.apps_changed == {"c"}
    assert set(found.keys) == {"apps[a]", "apps[c].apns.connections", "apps[d]"}
    assert found.restart == ()
    assert found.components == {"apps"}


def test_new_content_of_a_credential_file_changes_its_app(tmp_path: Path) -> None:
    before = settings(tmp_path, app("a"))
    (tmp_path / "key.p8").write_text("two")
    found = changes(before, settings(tmp_path, app("a")))
    assert found.apps_changed == {"a"}
    assert found.keys == ("apps[a].apns.key_file",)


@pytest.mark.parametrize(
    ("text", "restart"),
    [
        ('[log]\nlevel = "debug"', ()),
        ("[server]\ndrain_s = 1", ()),
        ("[limits.overrides.app.x]\nper_s = 1\nburst = 1", ()),
        ("[server]\nworkers = 2", ("server.workers",)),
        ('[web]\nlisten = "127.0.0.1:1"', ("web.listen",)),
        ("[dispatch]\nbatch_size = 5", ("dispatch.batch_size",)),
        ("[dedup]\ncapacity = 2048", ("dedup.capacity",)),
        ("[limits]\ncapacity = 2048", ("limits.capacity",)),
        ('data_dir = "x"', ("data_dir",)),
    ],
)
def test_what_is_bound_at_start_needs_a_restart(tmp_path: Path, text: str, restart: tuple[str, ...]) -> None:
    found = changes(settings(tmp_path, ""), settings(tmp_path, text))
    assert found.restart == restart
    assert found


def test_what_needs_a_restart_is_kept_and_named_every_time(tmp_path: Path) -> None:
    old = settings(tmp_path, "[server]\nworkers = 2\n")
    text = 'data_dir = "x"\n[server]\nworkers = 4\ndrain_s = 1\n[limits]\ncapacity = 2048\n'
    new = settings(tmp_path, text)
    kept = in_force(old, new)
    assert (kept.server.workers, kept.server.drain_s) == (2, 1)
    assert kept.data_dir == old.data_dir
    assert kept.limits.capacity == old.limits.capacity
    assert changes(kept, new).restart == ("data_dir", "server.workers", "limits.capacity")
    assert in_force(kept, new) == kept
