"""What a simulator knows about single device tokens; one it was told nothing about is a healthy device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

TokenState = Literal["unregistered", "expired", "wrong_environment", "wrong_topic", "throttled"]


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class TokenEntry:
    """One token's state. since_unix_ms: when it died, for 410's timestamp; 0 is the moment of the answer.

    wrong_topic: the token belongs to another app or, for FCM, to another sender. throttled: too many to this device.
    """

    state: TokenState
    since_unix_ms: Annotated[int, Field(ge=0)] = 0


class TokenBook:
    """Entries by token; the case of hex digits does not matter to APNs, so look-ups there are in lower case."""

    def __init__(self) -> None:
        self._entries: dict[bytes, TokenEntry] = {}

    def __bool__(self) -> bool:
        return bool(self._entries)

    def update(self, entries: Mapping[str, TokenEntry]) -> None:
        """Add or replace entries."""
        self._entries.update((token.encode(), entry) for token, entry in entries.items())

    def clear(self) -> None:
        """Make every device healthy again."""
        self._entries.clear()

    def get(self, token: bytes) -> TokenEntry | None:
        """Return what is known about a token."""
        return self._entries.get(token)
