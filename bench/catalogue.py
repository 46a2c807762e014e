"""Which sections there are, in the order in which they run, and how to get one by its name or letter."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from bench.section import Section


@dataclass(frozen=True, slots=True)
class Entry:
    """A section before it is imported. by_default: whether it runs unless others are named."""

    letter: str
    name: str
    by_default: bool = True

    @property
    def module(self) -> str:
        """Where its `SECTION` is."""
        return f"bench.sections.{self.name}"


ENTRIES = (
    Entry("a", "kernels"),
    Entry("b", "egress"),
    Entry("c", "intake"),
    Entry("d", "end_to_end"),
    Entry("e", "memory"),
    Entry("f", "growth"),
    Entry("g", "soak", by_default=False),
)


class UnknownSection(ValueError):
    """No section has this name or letter."""


class MissingSection(RuntimeError):
    """A section of the catalogue has no module, or it offers none."""


def entry(word: str) -> Entry:
    """Return the entry with this name or letter. Raises UnknownSection."""
    for one in ENTRIES:
        if word.strip() in (one.letter, one.name):
            return one
    known = ", ".join(f"{one.name} ({one.letter})" for one in ENTRIES)
    raise UnknownSection(f"no section {word!r}; there are {known}")


def load(found: Entry) -> Section:
    """Import a section. Raises MissingSection; whatever else its module raises is its own fault and passes."""
    try:
        section: Section = importlib.import_module(found.module).SECTION
    except ModuleNotFoundError as error:
        if error.name != found.module:
            raise
        raise MissingSection(f"section {found.name}: there is no {found.module}") from error
    except AttributeError as error:
        raise MissingSection(f"section {found.name}: {found.module} has no SECTION") from error
    return section
