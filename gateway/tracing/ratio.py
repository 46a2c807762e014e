"""Which notifications are traced when nobody decided before: each with the same chance, at no cost for the others."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Ratio:
    """Draws how many to pass over until the next one (geometric), instead of one draw for each."""

    def __init__(self, ratio: float, rng: random.Random) -> None:
        self._ratio = ratio
        self._rng = rng
        self._skip = self._gap()

    def pick(self, items: Sequence[T]) -> list[T]:
        """Return those of the next items that are chosen."""
        picked: list[T] = []
        place = self._skip
        while place < len(items):
            picked.append(items[place])
            place += 1 + self._gap()
        self._skip = place - len(items)
        return picked

    def _gap(self) -> int:
        if self._ratio >= 1.0:
            return 0
        if self._ratio <= 0.0:
            return sys.maxsize
        return int(min(math.log(1.0 - self._rng.random()) / math.log1p(-self._ratio), sys.maxsize))
