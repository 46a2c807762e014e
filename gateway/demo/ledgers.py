"""What the simulated providers say that they accepted: the other side of the account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import aiohttp
import orjson

from adapters.simulators.ledger import Dump
from adapters.simulators.settings import Provider

TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Ledgers:
    """apns: apns-id -> token. fcm: accepted key/token. twice: messages that a device was given more than once."""

    apns: dict[str, str]
    fcm: frozenset[str]
    twice: int


async def read_ledgers(control_port: int) -> Ledgers:
    """Read both ledgers whole."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{control_port}", timeout=timeout) as session:
        apns, fcm = await _dump(session, "apns"), await _dump(session, "fcm")
    twice = sum(len(rows) - 1 for dump in (apns, fcm) for _, rows in dump["accepted"])
    return Ledgers(
        apns={message_id: rows[0][0] for message_id, rows in apns["accepted"]},
        fcm=frozenset(message_id for message_id, _ in fcm["accepted"]),
        twice=twice,
    )


async def _dump(session: aiohttp.ClientSession, provider: Provider) -> Dump:
    async with session.get(f"/ledger/{provider}/dump") as answer:
        answer.raise_for_status()
        return cast("Dump", orjson.loads(await answer.read()))
