"""When the retirement of tokens is held, and how a hold ends."""

from __future__ import annotations

from dataclasses import replace

from core.mass_death import MassDeath, MassDeathGuard, MassDeathSettings

MS = 1_000_000
SETTINGS = MassDeathSettings(window_ms=60_000, min_deaths=10, death_percent=20, hold_ms=600_000, max_held=100)


class Watch:
    def __init__(self, settings: MassDeathSettings = SETTINGS) -> None:
        self.alarms: list[MassDeath] = []
        self.guard: MassDeathGuard[str] = MassDeathGuard(settings, self.alarms.append)

    def hold(self, deaths: int = 10, app: str = "app") -> list[str]:
        return self.guard.admit(app, [f"t{i}" for i in range(deaths)], 0)


def test_a_usual_share_of_deaths_is_carried_out() -> None:
    watch = Watch()
    watch.guard.answered("app", 1_000, 0)
    assert len(watch.hold(50)) == 50
    assert watch.alarms == []


def test_few_deaths_are_carried_out_even_if_all_die() -> None:
    watch = Watch()
    assert len(watch.hold(9)) == 9


def test_a_wave_of_deaths_is_held_and_alarms_once() -> None:
    watch = Watch()
    watch.guard.answered("app", 30, 0)
    assert watch.hold(10) == []
    assert watch.hold(10) == []
    assert watch.alarms == [MassDeath("app", 10, 40)]
    assert watch.guard.held() == {"app": 20}


def test_an_app_on_hold_does_not_stop_another() -> None:
    watch = Watch()
    watch.hold(10, "broken")
    assert len(watch.hold(5, "well")) == 5


def test_deaths_spread_over_time_are_not_a_wave() -> None:
    watch = Watch()
    for minute in range(20):
        assert len(watch.guard.admit("app", ["a", "b", "c"], minute * 61_000 * MS)) == 3
    assert watch.alarms == []


def test_release_hands_out_what_was_held() -> None:
    watch = Watch()
    watch.hold(10)
    assert watch.guard.release("app") == [f"t{i}" for i in range(10)]
    assert watch.guard.held() == {}
    assert watch.guard.admit("app", ["next"], 1) == ["next"]


def test_forget_drops_what_was_held() -> None:
    watch = Watch()
    watch.hold(10)
    assert watch.guard.forget("app") == 10
    assert watch.guard.release("app") == []


def test_time_ends_a_hold_without_emptying_the_registry() -> None:
    watch = Watch()
    watch.hold(10)
    assert watch.guard.expire(599_999 * MS) == {}
    assert watch.guard.expire(600_000 * MS) == {"app": []}
    assert watch.guard.held() == {}


def test_time_carries_out_what_was_held_if_configured_so() -> None:
    watch = Watch(replace(SETTINGS, after_hold="retire"))
    watch.hold(10)
    assert len(watch.guard.expire(600_000 * MS)["app"]) == 10


def test_what_is_held_is_bounded_and_counted() -> None:
    watch = Watch()
    watch.hold(90)
    watch.hold(30)
    assert watch.guard.held() == {"app": 100}
    assert watch.guard.dropped("app") == 20


def test_many_apps_are_bounded_and_those_on_hold_stay() -> None:
    watch = Watch(replace(SETTINGS, max_apps=5))
    watch.hold(10, "held")
    for number in range(50):
        watch.guard.answered(f"app{number}", 1, 0)
    assert watch.guard.held() == {"held": 10}
    assert len(watch.guard._wards) == 5
