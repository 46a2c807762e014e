"""Where the time goes, by the gateway's own metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

STAGES = ("intake", "journal", "plan", "queue", "provider")
_FAMILIES = {"walletpush_stage_seconds", "walletpush_provider_seconds"}


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage has seen: messages, and seconds that they spent in it, added up."""

    count: float = 0.0
    seconds: float = 0.0

    @property
    def mean_us(self) -> float:
        """The mean time of a message in this stage; 0 without any."""
        return self.seconds / self.count * 1e6 if self.count else 0.0


Stages = Mapping[str, Stage]


async def read_stages(web: str) -> Stages:
    """Ask a gateway's /metrics; the provider's part is that of all routes together."""
    async with aiohttp.ClientSession() as session, session.get(f"{web}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    sums = dict.fromkeys(STAGES, 0.0)
    counts = dict.fromkeys(STAGES, 0.0)
    for sample in (sample for family in families if family.name in _FAMILIES for sample in family.samples):
        stage = sample.labels.get("stage", "provider")
        if sample.name.endswith("_sum"):
            sums[stage] += sample.value
        elif sample.name.endswith("_count"):
            counts[stage] += sample.value
    return {stage: Stage(counts[stage], sums[stage]) for stage in STAGES}


def between(before: Stages, after: Stages) -> Stages:
    """Return what happened from one look to the next."""
    return {
        name: Stage(stage.count - before[name].count, stage.seconds - before[name].seconds)
        for name, stage in after.items()
    }


def together(several: Sequence[Stages]) -> Stages:
    """Return several intervals as one."""
    return {
        name: Stage(sum(one[name].count for one in several), sum(one[name].seconds for one in several))
        for name in STAGES
    }


def shares(stages: Stages) -> Mapping[str, float]:
    """Return what share of a message's whole way is spent in each stage, by their means, in percent."""
    means = {name: stage.mean_us for name, stage in stages.items() if stage.count}
    whole = sum(means.values())
    return {name: mean / whole * 100 for name, mean in means.items()}
