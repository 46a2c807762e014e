"""Turns of the loop between strides of planning, so that a wave keeps nobody's call waiting."""

from __future__ import annotations

import asyncio

_TURNS = 8


async def give_turns() -> None:
    """Let the loop turn a few times.

    grpc.aio hands over one event in a turn, and a call is made of four: with one turn to a stride of planning, calls
    queue behind each other's strides, and a payment beside a campaign took a second. An empty turn costs some 15 us.
    """
    for _ in range(_TURNS):
        await asyncio.sleep(0)
