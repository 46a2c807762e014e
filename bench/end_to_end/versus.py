"""Another gateway and walletpush in turn, with the same pushes over the same simulators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.cpu import Spent, quietest
from bench.end_to_end.delivering import Delivered, Workload, deliver
from bench.peers.peer import Peer
from bench.quiet import Rounds
from bench.received import Received
from bench.section import BenchOptions
from bench.stand import Simulators, StandOptions, simulators
from bench.under_test import GatewayUnderTest, WalletpushUnderTest, pushes

_OUR_COUNT = (5_000, 50_000, 100_000)
_WARM_BATCHES = 4


@dataclass(frozen=True, slots=True)
class Pair:
    """One repeat: both in turn."""

    ours: Delivered
    theirs: Delivered

    @property
    def spent(self) -> Spent:
        """What the more disturbed of the two took."""
        return max(self.ours.spent, self.theirs.spent, key=lambda spent: spent.foreign_percent)


async def versus(peer: Peer, options: BenchOptions) -> Rounds[Pair]:
    """Run both `options.repeats` times. Raises NotTaken, Stalled."""
    walletpush = WalletpushUnderTest(StandOptions())
    count = options.of(*_OUR_COUNT)
    enough = min(peer.enough, count)
    async with simulators(StandOptions(mode=peer.mode)) as found:

        async def measure(number: int) -> Pair:
            ours = await _deliver(found.apart(f"walletpush-{number}"), walletpush, count)
            theirs = await _deliver(found.apart(f"{peer.name}-{number}"), peer, enough)
            return Pair(ours, theirs)

        return await quietest(options, measure)


def sides(name: str, rounds: Rounds[Pair]) -> Mapping[str, Rounds[Delivered]]:
    """Return both sides by their names."""
    return {
        "walletpush": Rounds([pair.ours for pair in rounds.counted], rounds.quiet, rounds.tried),
        name: Rounds([pair.theirs for pair in rounds.counted], rounds.quiet, rounds.tried),
    }


async def _deliver(found: Simulators, gateway: GatewayUnderTest, count: int) -> Delivered:
    async with gateway.start(found) as running, found.simulator() as simulator:
        received = Received(simulator, gateway.provider)
        warm = list(pushes(_WARM_BATCHES * gateway.batch, "warm-up"))
        await received.begin()
        for start in range(0, len(warm), gateway.batch):
            await running.send(running.prepare(warm[start : start + gateway.batch]))
        await received.reach(len(warm))
        made = list(pushes(count, "run"))
        requests = [running.prepare(made[start : start + gateway.batch]) for start in range(0, count, gateway.batch)]
        return await deliver(running, gateway.in_flight, Workload(requests, count, count), received, (found.process,))
