"""Reads the notifications that the quick way leaves: long lists of devices, and what says more of itself."""

from __future__ import annotations

import asyncio
from typing import Protocol

from core.delivery import Notification
from core.model import Target
from gateway.convert import MAX_RECIPIENTS, Scope, to_notification, to_targets
from gateway.pipeline.turns import give_turns
from protos.walletpush.v1 import notification_pb2 as pb

# Reading takes some 3 us a device: so many at a time, then the loop may see to an answer.
_STRIDE = 125


class PurposeCheck(Protocol):
    """Who knows the apps' categories and templates."""

    async def pinned(self, message: pb.Notification) -> pb.Notification:
        """Return the message as the journal should keep it. Raises InvalidRequest, Unavailable."""


class GeneralReader:
    """Validates one message with all its fields."""

    def __init__(self, purposes: PurposeCheck | None = None) -> None:
        self._purposes = purposes
        self._long_lists = asyncio.Lock()

    async def read(
        self, message: pb.Notification, body: bytes, scope: Scope, now_unix_ms: int
    ) -> tuple[Notification, bytes, bytes]:
        """Return the notification, its idempotency key, and the body that the journal keeps.

        body: the message's canonical bytes. Raises InvalidRequest naming the first field that is wrong, Unavailable.
        """
        if self._purposes is not None and message.app in scope.providers:
            pinned = await self._purposes.pinned(message)
            if pinned is not message:
                message, body = pinned, pinned.SerializeToString(deterministic=True)
        targets = await self._targets(message, scope) if len(message.devices) > _STRIDE else None
        notification = to_notification(message, scope, now_unix_ms, targets)
        return notification, f"{scope.tenant}\0{notification.app}\0{message.idempotency_key}".encode(), body

    async def _targets(self, message: pb.Notification, scope: Scope) -> list[Target] | None:
        count = len(message.devices)
        if count > MAX_RECIPIENTS or message.app not in scope.providers:
            return None
        targets: list[Target] = []
        # One long list at a time: many together would fill every turn of the loop.
        async with self._long_lists:
            for start in range(0, count, _STRIDE):
                targets += to_targets(message, scope, start, start + _STRIDE)
                await give_turns()
        return targets
