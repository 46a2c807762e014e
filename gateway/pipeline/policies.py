"""Each app's rules and gates, made from the settings and made anew when they change."""

from __future__ import annotations

from collections.abc import Mapping

from core.hashing import SipHash
from core.policy.gates import Policy
from core.policy.ports import CapCounters
from core.policy.rules import AppRules
from gateway.pipeline.clock import Clock


class Policies:
    """Gates by app. hashes: the same in all workers, and over restarts."""

    def __init__(self, rules: Mapping[str, AppRules], counters: CapCounters, hashes: SipHash, clock: Clock) -> None:
        self._counters = counters
        self._hashes = hashes
        self._clock = clock
        self._rules: dict[str, AppRules] = {}
        self._gates: dict[str, Policy] = {}
        self.set_rules(rules)

    def set_rules(self, rules: Mapping[str, AppRules]) -> None:
        """Take the rules of the settings; raises ValueError, and changes nothing, if there are too many caps.

        What still waits for an app that left them is decided by its last rules.
        """
        now_unix_ms = self._clock.unix_ms()
        gates = {
            app: self._gates[app] if self._rules.get(app) == own else self._gate(own, now_unix_ms)
            for app, own in rules.items()
        }
        self._rules, self._gates = {**self._rules, **rules}, self._gates | gates

    def __getitem__(self, app: str) -> Policy:
        return self._gates[app]

    def rules(self, app: str) -> AppRules:
        """Return an app's rules."""
        return self._rules[app]

    def __contains__(self, app: str) -> bool:
        return app in self._gates

    def _gate(self, rules: AppRules, now_unix_ms: int) -> Policy:
        return Policy(rules, self._counters, self._hashes, now_unix_ms)
