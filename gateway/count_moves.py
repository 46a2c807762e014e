"""What was counted for a user, counted for another when the two turn out to be one."""

from __future__ import annotations

from collections.abc import Iterable

from core.frequency import FrequencyCounters
from core.hashing import SipHash
from core.policy.count_keys import device_hashes, device_name, stranger_name, user_hashes


class CounterMoves:
    """Implements gateway.services.users.CountMoves over the shared counters.

    hashes: those that core.policy.counting has its keys of users from.
    """

    def __init__(self, counters: FrequencyCounters, hashes: SipHash) -> None:
        self._counters = counters
        self._hashes = hashes

    def move(self, app: str, from_user_id: str, into_user_id: str, now_unix_ms: int) -> None:
        """Count for one user what was counted for another. What finds no room is not counted, but nothing fails."""
        hashes = user_hashes(self._hashes, app)
        gone, stays = hashes.hash64(from_user_id), hashes.hash64(into_user_id)
        self._counters.add_events(stays, self._counters.events_of(gone), now_unix_ms // 1_000)
        self._counters.forget(gone)

    def forget(self, app: str, user_id: str, devices: Iterable[tuple[int, str]]) -> int:
        """Forget what was counted for a user and for devices, (provider, token) each; return how many messages.

        Also what was counted for a device before its user was known.
        """
        of_users, of_devices = user_hashes(self._hashes, app), device_hashes(self._hashes, app)
        keys = [of_users.hash64(user_id)]
        for device in devices:
            keys += of_devices.hash64(device_name(*device)), of_users.hash64(stranger_name(*device))
        return sum(self._counters.forget(key) for key in keys)
