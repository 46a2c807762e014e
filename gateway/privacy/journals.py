"""What the journals of all workers hold of a user: notifications that are not finished, and receipts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.json_format import MessageToDict

from core.hashing import SipHash
from core.model import Device, NotificationState, Receipt
from core.notification_id import format_id, make_id
from gateway.erasure.subject import Subject
from gateway.frames import parse_frame
from protos.walletpush.v1 import notification_pb2 as pb


class Message(Protocol):
    """An open message as the journal gives it."""

    @property
    def segment(self) -> int: ...
    @property
    def index(self) -> int: ...
    @property
    def accepted_unix_ms(self) -> int: ...
    @property
    def state(self) -> NotificationState: ...
    @property
    def frame(self) -> bytes: ...


class Search(Protocol):
    """One journal, read in short steps that block."""

    def open_messages(self, after: int, needles: Sequence[bytes]) -> tuple[int, Sequence[Message]]:
        """Return where to go on, 0 at the end, and open messages that hold one of the needles, in lower case."""

    def receipts(self, after: int, device_keys: Collection[int]) -> tuple[int, list[Receipt]]:
        """Return where to go on, 0 at the end, and the receipts of these devices."""

    def close(self) -> None:
        """Let go of the file."""


class Devices(Protocol):
    """Who knows a user's devices."""

    async def list_devices(self, app: str, user_id: str) -> list[Device]:
        """Return a user's devices. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class _Person:
    """How a user is found. tokens: of their devices, in lower case, by provider."""

    app: str
    app_tag: int
    user_id: str
    tokens: frozenset[tuple[int, str]]
    device_keys: frozenset[int]

    def needles(self) -> list[bytes]:
        return [self.user_id.encode().lower(), *(token.encode() for _, token in self.tokens)]

    def part_of(self, message: pb.Notification) -> pb.Notification | None:
        """Return a notification without its other recipients, None if it is not for this user."""
        if message.app != self.app:
            return None
        mine = [one for one in message.devices if (int(one.provider), one.token.lower()) in self.tokens]
        named = self.user_id in message.user_ids
        if not mine and not named:
            return None
        part = pb.Notification()
        part.CopyFrom(message)
        del part.user_ids[:], part.devices[:]
        part.user_ids.extend([self.user_id] if named else [])
        part.devices.extend(mine)
        return part


class JournalExport:
    """Reads every journal of the host, whichever worker is asked. hasher: the one that makes device keys.

    numbers: of all journals there are; open_search: opens one; app_tag: the tag of an app in receipts.
    """

    name = "journals"

    def __init__(
        self, devices: Devices, numbers: Callable[[], list[int]], open_search: Callable[[int], Search],
        hasher: SipHash, app_tag: Callable[[str], int],
    ) -> None:  # fmt: skip
        self._devices = devices
        self._numbers = numbers
        self._open_search = open_search
        self._hasher = hasher
        self._app_tag = app_tag

    async def export(self, app: str, user_id: str) -> AsyncIterator[tuple[str, Mapping[str, object]]]:
        """Give the notifications, then the receipts. Raises Unavailable, StoreFailure."""
        person = await self._person(app, user_id)
        numbers = await asyncio.to_thread(self._numbers)
        for number in numbers:
            async for message in self._messages(number, person):
                yield "notifications", message
        for number in numbers:
            async for receipt in self._receipts(number, person):
                yield "receipts", receipt

    async def _person(self, app: str, user_id: str) -> _Person:
        targets = [device.target for device in await self._devices.list_devices(app, user_id)]
        subject = Subject(app, user_id, frozenset((int(one.provider), one.token) for one in targets))
        tokens = frozenset((int(one.provider), one.token.lower()) for one in targets)
        return _Person(app, self._app_tag(app), user_id, tokens, subject.receipt_keys(self._hasher))

    async def _messages(self, number: int, person: _Person) -> AsyncIterator[Mapping[str, object]]:
        search = await asyncio.to_thread(self._open_search, number)
        needles, after = person.needles(), 0
        try:
            while True:
                after, found = await asyncio.to_thread(search.open_messages, after, needles)
                for message in found:
                    frame = parse_frame(message.frame)
                    part = person.part_of(frame.message)
                    if part is not None:
                        yield _told_message(number, message, frame.tenant, part)
                if not after:
                    return
        finally:
            await asyncio.to_thread(search.close)

    async def _receipts(self, number: int, person: _Person) -> AsyncIterator[Mapping[str, object]]:
        search, after = await asyncio.to_thread(self._open_search, number), 0
        try:
            while True:
                after, found = await asyncio.to_thread(search.receipts, after, person.device_keys)
                for receipt in found:
                    if receipt.app_tag == person.app_tag:
                        yield _told_receipt(receipt)
                if not after:
                    return
        finally:
            await asyncio.to_thread(search.close)


def _told_message(number: int, message: Message, tenant: str, part: pb.Notification) -> Mapping[str, object]:
    ident = make_id(message.accepted_unix_ms, number, message.segment, message.index)
    return {
        "notification_id": format_id(ident), "accepted_unix_ms": message.accepted_unix_ms, "tenant": tenant,
        "state": message.state, "notification": MessageToDict(part, preserving_proto_field_name=True),
    }  # fmt: skip


def _told_receipt(receipt: Receipt) -> Mapping[str, object]:
    return {
        "notification_id": format_id(receipt.notification_id), "state": receipt.state,
        "time_unix_ms": receipt.at_unix_ms, "provider": receipt.provider, "device_key": f"{receipt.device_key:016x}",
        "provider_status": receipt.status, "reason": receipt.reason, "attempts": receipt.attempts,
        "possibly_delivered": receipt.possibly_delivered, "provider_message_id": receipt.provider_message_id,
    }  # fmt: skip
