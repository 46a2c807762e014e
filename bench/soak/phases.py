"""When the soak is calm, in trouble and recovering: a calm beginning, then each trouble in turn, again and again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_SLOT_S = 100.0
# Of a slot: as long as a provider's requests may hang (30 s) and its breaker doubt it fits into the recovery.
_TROUBLE, _RECOVERY, _CALM = 0.25, 0.4, 0.35


class Stage(StrEnum):
    """What a phase is to whoever measures: times count as calm only where no trouble can still be felt."""

    CALM = "calm"
    TROUBLE = "trouble"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the soak, s from its beginning. trouble: its name, "" when calm; place: among all troubles."""

    stage: Stage
    start_s: float
    end_s: float
    trouble: str = ""
    place: int = 0

    @property
    def name(self) -> str:
        """What times of this phase are filed under: recoveries together, each trouble by itself."""
        return self.trouble if self.stage is Stage.TROUBLE else str(self.stage)


class Timeline:
    """All phases. Every trouble comes at least once, and a slot of trouble, recovery and calm is at most 100 s."""

    def __init__(self, seconds: float, troubles: Sequence[str]) -> None:
        self.seconds = seconds
        rounds = max(1, round(seconds / _SLOT_S / len(troubles)))
        self.slot_s = seconds / (rounds * len(troubles) + _CALM)
        self.phases = [Phase(Stage.CALM, 0.0, _CALM * self.slot_s)]
        for place, trouble in enumerate([*troubles] * rounds):
            for stage, share in ((Stage.TROUBLE, _TROUBLE), (Stage.RECOVERY, _RECOVERY), (Stage.CALM, _CALM)):
                start_s = self.phases[-1].end_s
                name = trouble if stage is not Stage.CALM else ""
                self.phases.append(Phase(stage, start_s, start_s + share * self.slot_s, name, place))
        self._starts = [phase.start_s for phase in self.phases]

    def at(self, at_s: float) -> Phase:
        """Return the phase of a moment; the last one for what comes later."""
        return self.phases[max(0, bisect_right(self._starts, at_s) - 1)]

    def third(self, at_s: float) -> int:
        """Return 0, 1 or 2: the third of the soak."""
        return min(2, int(3 * at_s / self.seconds))
