"""What a simulator answers to one request."""

from __future__ import annotations

from typing import NamedTuple


class Answer(NamedTuple):
    """A response; extra is flat: name, value, name, value, in lower case. message_id is the ledger's name for it."""

    status: int
    message_id: bytes = b""
    extra: tuple[bytes, ...] = ()
    body: bytes = b""


# Judged and written down, but instead of answering the connection is reset: the sender cannot know.
CUT = Answer(0)


class Refusal(NamedTuple):
    """Why a request is refused, in the provider's own words."""

    status: int
    reason: str
