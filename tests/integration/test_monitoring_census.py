"""Devices counted from outside of the registry's workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.registry.census import count_devices
from adapters.registry.sqlite import SqliteRegistry
from core.errors import Unavailable
from core.model import Device, Provider, Target


async def test_devices_are_counted_by_app_and_provider_while_the_registry_is_open(tmp_path: Path) -> None:
    registry = await SqliteRegistry.open(tmp_path)
    apple = [Device("wallet", f"u{i}", Target(Provider.APNS, f"{i:04x}", registered_unix_ms=1)) for i in range(3)]
    await registry.register([*apple, Device("pay", "u", Target(Provider.FCM, "t", registered_unix_ms=1))])
    assert count_devices(tmp_path / "registry.db") == {("wallet", 1): 3, ("pay", 2): 1}
    await registry.close()


def test_a_registry_that_is_not_there_cannot_be_counted(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        count_devices(tmp_path / "registry.db")
