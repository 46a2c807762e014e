"""Brings the troubles of a timeline over the simulated providers, and takes them away again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from adapters.simulators.client import SimulatorClient
from adapters.simulators.settings import Provider
from adapters.simulators.token_book import TokenEntry
from bench.soak.people import People, provider_of, token_of
from bench.soak.phases import Phase, Stage, Timeline
from bench.soak.troubles import BY_NAME, FAIR, Again, Trouble
from bench.stand import APP
from gateway.client import Walletpush

PROVIDERS: tuple[Provider, ...] = ("apns", "fcm")
_AGAIN_S = 1.0
Tell = Callable[[Phase], None]


class Weather:
    """Follows a timeline. tell: hears of each phase as it begins."""

    def __init__(self, simulator: SimulatorClient, people: People, client: Walletpush, tell: Tell) -> None:
        self._simulator, self._people, self._client, self._tell = simulator, people, client, tell

    async def run(self, timeline: Timeline) -> None:
        """Go through all phases, beginning now."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for phase in timeline.phases:
            self._tell(phase)
            end_s = began_s + phase.end_s
            if phase.stage is Stage.TROUBLE:
                trouble = BY_NAME[phase.trouble]
                await self._begin(trouble, phase)
                await self._repeat(trouble, end_s)
                await self.clear()
                if trouble.deaths:
                    await self._revive(phase)
            await asyncio.sleep(max(0.0, end_s - loop.time()))

    async def clear(self) -> None:
        """Make both providers well."""
        for provider in PROVIDERS:
            await self._simulator.set_faults(provider, FAIR)

    async def _begin(self, trouble: Trouble, phase: Phase) -> None:
        for provider, faults in zip(PROVIDERS, (trouble.apns, trouble.fcm), strict=True):
            await self._simulator.set_faults(provider, faults)
        if trouble.deaths:
            for provider in PROVIDERS:
                dead = [user for user in self._people.dying(phase.place) if provider_of(user) == provider]
                tokens = (token_of(user, self._people.deaths[user]) for user in dead)
                await self._simulator.set_tokens(provider, dict.fromkeys(tokens, TokenEntry("unregistered")))

    async def _repeat(self, trouble: Trouble, end_s: float) -> None:
        loop = asyncio.get_running_loop()
        while trouble.again is not Again.NOTHING and loop.time() < end_s:
            for provider in PROVIDERS:
                act = self._simulator.goaway if trouble.again is Again.GOAWAY else self._simulator.disconnect
                await act(provider)
            await asyncio.sleep(min(_AGAIN_S, max(0.0, end_s - loop.time())))
        await asyncio.sleep(max(0.0, end_s - loop.time()))

    async def _revive(self, phase: Phase) -> None:
        for user in self._people.dying(phase.place):
            # Whoever was sent nothing still has the dead one; two devices would make two receipts.
            await self._client.unregister_device(APP, self._people.device(user).token)
            self._people.revive(user)
            await self._client.register_device(self._people.device(user))
