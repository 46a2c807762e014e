"""What is wrong with a template or with its values: faults by field, gathered so that an author sees all at once."""

from __future__ import annotations

from typing import NamedTuple

from core.errors import InvalidRequest

MAX_FAULTS = 100


class Fault(NamedTuple):
    """field: path as in the contract, for instance bodies[0].title. line: from 1; 0 where the field is one value."""

    field: str
    why: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.field}{f', line {self.line}' if self.line else ''}: {self.why}"


class Faults:
    """Gathers faults of one template; beyond MAX_FAULTS they are only counted."""

    def __init__(self) -> None:
        self._kept: list[Fault] = []
        self._count = 0

    def add(self, field: str, why: str, line: int = 0) -> None:
        """Note a fault."""
        self._count += 1
        if len(self._kept) < MAX_FAULTS:
            self._kept.append(Fault(field, why, line))

    def __len__(self) -> int:
        return self._count

    def refuse(self) -> None:
        """Raise TemplateRefused if there was any fault."""
        if self._kept:
            raise TemplateRefused(tuple(self._kept), self._count)


class TemplateRefused(InvalidRequest):
    """A template cannot be published. faults: at most MAX_FAULTS; count: how many were found."""

    def __init__(self, faults: tuple[Fault, ...], count: int) -> None:
        super().__init__(faults[0].field, "; ".join(_told(faults, count)))
        self.faults = faults
        self.count = count


def _told(faults: tuple[Fault, ...], count: int) -> list[str]:
    first = faults[0]
    told = [f"{f'line {first.line}: ' if first.line else ''}{first.why}", *map(str, faults[1:])]
    return told if count == len(faults) else [*told, f"and {count - len(faults)} more"]
