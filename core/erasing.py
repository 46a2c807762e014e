"""Taking one person out of what was kept for many: what to look for, and what becomes of a message that names them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple

from core.errors import StoreFailure

# The head of an event as core/receipts.pxd lays it out, in the host's order; its first 8 bytes are the device's key.
_HEAD = struct.Struct("=QqIIIHHBBBBB")
_KEY = struct.Struct("=Q")


class EditedFrame(NamedTuple):
    """A message without the person. emptied: nobody else was named, so that it is to end."""

    frame: bytes
    emptied: bool


@dataclass(frozen=True, slots=True)
class Traces:
    """How a person is found in a journal.

    exact: one of these bytes is in every frame that names them; folded: or one of these, whatever the case of letters.
    edit: takes a frame, and returns None where it does not name them after all. device_keys: of their receipts.
    leftovers: bytes that only what was deleted of them would still show.
    """

    exact: tuple[bytes, ...]
    folded: tuple[bytes, ...]
    edit: Callable[[bytes], EditedFrame | None]
    device_keys: frozenset[int]
    leftovers: tuple[bytes, ...] = ()

    def may_name(self, frames: bytes) -> bool:
        """Tell whether any of these frames may name them."""
        if any(needle in frames for needle in self.exact):
            return True
        lowered = frames.lower() if self.folded else b""
        return any(needle in lowered for needle in self.folded)


def unlink_devices(events: bytes, keys: Collection[int]) -> tuple[bytes, int]:
    """Return packed receipts with 0 in place of these devices' keys, and how many receipts that were.

    Raises StoreFailure if the bytes are not whole events.
    """
    if not any(_KEY.pack(key) in events for key in keys):
        return events, 0
    changed = bytearray(events)
    at = count = 0
    while at < len(events):
        if at + _HEAD.size > len(events):
            raise StoreFailure("a receipt is cut short")
        key, *_, reason_bytes, message_id_bytes = _HEAD.unpack_from(events, at)
        if key in keys:
            _KEY.pack_into(changed, at, 0)
            count += 1
        at += _HEAD.size + reason_bytes + message_id_bytes
    return bytes(changed), count
