"""What every section of the bench offers, and what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from bench.results import SectionResult


class Scale(StrEnum):
    """How long a section takes: SMOKE seconds, to see that it works; QUICK a minute; FULL what a table is made from."""

    SMOKE = "smoke"
    QUICK = "quick"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """scale: see Scale. repeats: how often each figure is taken, at least 1. peers: names of gateways to run beside.

    soak_s: how long the soak lasts.
    """

    scale: Scale = Scale.FULL
    repeats: int = 3
    peers: tuple[str, ...] = ()
    soak_s: int = 1_800

    def of(self, smoke: int, quick: int, full: int) -> int:
        """Return the one of three sizes that the scale stands for."""
        return {Scale.SMOKE: smoke, Scale.QUICK: quick, Scale.FULL: full}[self.scale]


class Progress(Protocol):
    """Who is told how far a section is."""

    def step(self, done: int, total: int, doing: str) -> None:
        """Note that `done` of `total` steps are behind, and what is being done now."""


class Section(Protocol):
    """One group of measurements. letter: (a), (b), … as in README.md; name: one word, the prefix of its figures."""

    letter: str
    name: str
    title: str

    def run(self, options: BenchOptions, progress: Progress) -> SectionResult:
        """Measure, in a process of its own whose affinity it may set; blocking. Raises when a figure cannot be had."""
