"""Settings read again while the gateway runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from gateway.metrics import Metrics
from gateway.reload import Reloader
from gateway.settings.loading import load


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "w.toml"
    path.write_text('[server]\nworkers = 2\n[log]\nlevel = "info"\n')
    return path


def reloader(path: Path) -> Reloader:
    return Reloader(load(path, {}), partial(load, path, {}), Metrics())


def counted(reloader: Reloader, result: str) -> float:
    return reloader._metrics.registry.get_sample_value("walletpush_reloads_total", {"result": result}) or 0.0


def test_what_may_change_is_taken_on(path: Path) -> None:
    running = reloader(path)
    path.write_text('[server]\nworkers = 2\n[log]\nlevel = "debug"\n')
    found = running.read_again()
    assert found is not None
    assert found.keys == ("log.level",)
    assert running.current.log.level == "debug"
    assert counted(running, "ok") == 1


def test_what_needs_a_restart_is_kept_and_named_every_time(path: Path) -> None:
    running = reloader(path)
    path.write_text('data_dir = "x"\n[server]\nworkers = 4\ndrain_s = 1\n[limits]\ncapacity = 2048\n')
    for _ in range(2):
        found = running.read_again()
        assert found is not None
        assert set(found.restart) == {"data_dir", "server.workers", "limits.capacity"}
    assert running.current.server.workers == 2
    assert running.current.server.drain_s == 1
    assert running.current.data_dir == path.parent / "var"
    assert running.current.limits.capacity == 1_000_000


def test_unusable_settings_change_nothing(path: Path) -> None:
    running = reloader(path)
    before = running.current
    path.write_text("[server]\nworkerz = 4\n")
    assert running.read_again() is None
    assert running.current is before
    assert counted(running, "failed") == 1


def test_nothing_changed_is_no_change(path: Path) -> None:
    running = reloader(path)
    found = running.read_again()
    assert found is not None
    assert not found
