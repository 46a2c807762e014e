"""What a simulated provider has taken, counted from a moment on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from adapters.simulators.client import SimulatorClient
from adapters.simulators.settings import Provider

SAMPLE_S = 0.5
_POLL_S = 0.02
_STALLED_S = 30.0


class Stalled(RuntimeError):
    """The provider got nothing more for half a minute, though more was to come."""


@dataclass(slots=True)
class Throughput:
    """Deliveries a second over time; at_s: the end of each interval."""

    at_s: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)


class Received:
    """Counts one provider's accepted requests since `begin`."""

    def __init__(self, simulator: SimulatorClient, provider: Provider = "apns") -> None:
        self._simulator, self._provider = simulator, provider
        self._before = 0

    async def begin(self) -> None:
        """Forget what was before."""
        self._before += await self.count()

    async def count(self) -> int:
        """Return how many came."""
        return (await self._simulator.summary(self._provider))["accepted"] - self._before

    async def reach(self, count: int) -> None:
        """Wait until so many came. Raises Stalled."""
        seen, moved_s = -1, time.monotonic()
        while (now := await self.count()) < count:
            if now != seen:
                seen, moved_s = now, time.monotonic()
            elif time.monotonic() - moved_s > _STALLED_S:
                raise Stalled(f"{now:,} of {count:,} reached {self._provider}")
            await asyncio.sleep(_POLL_S)

    @asynccontextmanager
    async def sampled(self) -> AsyncIterator[Throughput]:
        """Note the throughput every half second until left, and once more then."""
        found = Throughput()
        last, last_s = await self.count(), time.monotonic()
        began_s = last_s

        async def sample() -> None:
            nonlocal last, last_s
            count, now_s = await self.count(), time.monotonic()
            found.at_s.append(now_s - began_s)
            found.per_s.append((count - last) / (now_s - last_s))
            last, last_s = count, now_s

        async def keep_sampling() -> None:
            while True:
                await asyncio.sleep(SAMPLE_S)
                await sample()

        async with asyncio.TaskGroup() as tasks:
            sampling = tasks.create_task(keep_sampling())
            yield found
            sampling.cancel()
        await sample()
