"""When what is old is removed: in steps with pauses, over failures, soon after a start and then at each interval."""

from __future__ import annotations

import asyncio

import pytest

from core.errors import Unavailable
from core.privacy import Purged
from gateway.metrics import Metrics
from gateway.privacy.retention import DAY_MS, FIRST_S, PAUSE_S, ROWS, Retention, Rule
from gateway.settings.retention import RetentionSettings
from tests.unit.virtual_time import START_UNIX_MS, LoopClock, in_virtual_time


class Table:
    """Rows by their age, removed some at a time."""

    def __init__(self, *made_unix_ms: int) -> None:
        self.rows = sorted(made_unix_ms)
        self.asked: list[tuple[float, int]] = []
        self.broken = False

    async def step(self, now_unix_ms: int, before_unix_ms: int, most: int) -> Purged:
        assert most == ROWS
        self.asked.append((asyncio.get_running_loop().time(), now_unix_ms - before_unix_ms))
        if self.broken:
            raise Unavailable("the disk is full")
        old = [row for row in self.rows if row < before_unix_ms][:most]
        self.rows = self.rows[len(old) :]
        return Purged(len(old), len(old) == most)


def counted(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def stand(interval_s: float, *rules: Rule) -> tuple[Retention, Metrics]:
    metrics = Metrics()
    return Retention(rules, metrics, LoopClock(), interval_s), metrics


@in_virtual_time
async def test_what_is_old_goes_in_steps_and_what_is_young_stays() -> None:
    now = LoopClock().unix_ms()
    table = Table(*[now - 8 * DAY_MS] * (2 * ROWS + 1), now - 6 * DAY_MS)
    retention, metrics = stand(3_600, Rule("devices", 7, table.step))
    began_s = asyncio.get_running_loop().time()
    await retention.sweep()
    assert table.rows == [now - 6 * DAY_MS]
    times = [at_s - began_s for at_s, _ in table.asked]
    assert times == pytest.approx([0, PAUSE_S, 2 * PAUSE_S])
    assert counted(metrics, "walletpush_purged_rows_total", table="devices") == 2 * ROWS + 1


@in_virtual_time
async def test_it_looks_soon_after_the_start_and_then_at_each_interval_as_time_goes_on() -> None:
    start = LoopClock().unix_ms()
    table = Table(start - 6 * DAY_MS, start)
    retention, metrics = stand(DAY_MS / 1_000, Rule("devices", 7, table.step))
    began_s = asyncio.get_running_loop().time()
    running = asyncio.create_task(retention.run())
    await asyncio.sleep(0)
    assert counted(metrics, "walletpush_purged_rows_total", table="devices") == 0
    await asyncio.sleep(FIRST_S + 1)
    assert len(table.rows) == 2
    await asyncio.sleep(DAY_MS / 1_000)
    assert table.rows == [start]
    await asyncio.sleep(6 * DAY_MS / 1_000)
    assert table.rows == []
    assert [round((at_s - began_s - FIRST_S) / 86_400, 3) for at_s, _ in table.asked] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert {age for _, age in table.asked} == {7 * DAY_MS}
    assert LoopClock().unix_ms() > START_UNIX_MS
    running.cancel()


@in_virtual_time
async def test_what_fails_is_told_and_stops_no_other_and_is_tried_again() -> None:
    now = LoopClock().unix_ms()
    broken, whole = Table(now - 9 * DAY_MS), Table(now - 9 * DAY_MS)
    broken.broken = True
    retention, metrics = stand(60, Rule("devices", 7, broken.step), Rule("consents", 7, whole.step))
    await retention.sweep()
    assert (len(broken.rows), len(whole.rows)) == (1, 0)
    assert counted(metrics, "walletpush_task_failures_total", task="retention") == 1
    broken.broken = False
    await retention.sweep()
    assert broken.rows == []


@in_virtual_time
async def test_zero_days_keep_for_ever() -> None:
    table = Table(0)
    retention, _ = stand(60, Rule("users", 0, table.step))
    await retention.sweep()
    assert table.asked == []


@pytest.mark.parametrize("change", [{"devices_days": -1}, {"audit_days": 36_501}, {"interval_s": 59}, {"users": 1}])
def test_wrong_periods_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        RetentionSettings.model_validate(change)


def test_users_are_kept_unless_an_operator_says_otherwise() -> None:
    own = RetentionSettings()
    assert (own.inactive_users_days, own.devices_days) == (0, 270)
