"""Checks on the single values of an FCM message, and how they combine to checks on objects.

A check returns None when nothing is wrong, so that a good message costs no list and no path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import NamedTuple

MAX_TTL_S = 2_419_200
RESERVED_KEYS = frozenset(("from", "message_type"))
RESERVED_PREFIXES = ("google.", "gcm.")

_TTL = re.compile(r"([0-9]{1,12})(\.[0-9]{1,9})?s").fullmatch


class Violation(NamedTuple):
    """A field that is wrong; field is a path such as `message.android.ttl`. unknown: there is no such field."""

    field: str
    why: str
    unknown: bool = False

    def inside(self, name: str) -> Violation:
        """Return the same as seen from the object that has the field."""
        dot = "." if self.field and not self.field.startswith("[") else ""
        return self._replace(field=f"{name}{dot}{self.field}")


Check = Callable[[object], list[Violation] | None]


def of_type(name: str, *kinds: type) -> Check:
    """Make a check on JSON's own types; an exact one, since bool is an int to Python but not to JSON."""
    wrong = [Violation("", f"{name} expected")]
    (kind, *others) = kinds

    def check(found: object) -> list[Violation] | None:
        return None if type(found) is kind or type(found) in others else wrong

    return check


def one_of(*names: str) -> Check:
    """Make a check on an enum's name."""
    allowed, wrong = frozenset(names), [Violation("", f"one of {', '.join(names)} expected")]

    def check(found: object) -> list[Violation] | None:
        return None if isinstance(found, str) and found in allowed else wrong

    return check


def matching(pattern: str, why: str) -> Check:
    """Make a check on a string that has to match a regular expression whole, or to be empty, which is unset."""
    fits, wrong = re.compile(pattern).fullmatch, [Violation("", why)]

    def check(found: object) -> list[Violation] | None:
        return None if isinstance(found, str) and (not found or fits(found)) else wrong

    return check


def list_of(item: Check) -> Check:
    """Make a check on an array."""

    def check(found: object) -> list[Violation] | None:
        if not isinstance(found, list):
            return [Violation("", "array expected")]
        return _collect((f"[{index}]", item(each)) for index, each in enumerate(found))

    return check


def message_of(fields: Mapping[str, Check]) -> Check:
    """Make a check on an object; a field may be null, and spelled in either of Google's two ways."""
    known = {**{camel_case(name): check for name, check in fields.items()}, **fields}

    def check(found: object) -> list[Violation] | None:
        if type(found) is not dict:
            return [Violation("", "object expected")]
        wrong: list[Violation] = []
        for name, value in found.items():
            inner = known.get(name)
            if inner is None:
                wrong.append(Violation("", f'no field "{name}" here', unknown=True))
            elif value is not None and (bad := inner(value)):
                wrong += [each.inside(name) for each in bad]
        return wrong

    return check


def strings(found: object) -> list[Violation] | None:
    """Check a map of strings."""
    if type(found) is not dict:
        return [Violation("", "object expected")]
    return [Violation(f"[{key}]", "string expected") for key, text in found.items() if type(text) is not str]


def data(found: object) -> list[Violation] | None:
    """Check a data map, where some keys are FCM's own."""
    wrong = strings(found)
    if wrong or not isinstance(found, dict):
        return wrong
    return [
        Violation(f"[{key}]", "a reserved key")
        for key in found
        if key in RESERVED_KEYS or key.startswith(RESERVED_PREFIXES)
    ]


def struct(found: object) -> list[Violation] | None:
    """Check an object of any fields."""
    return None if type(found) is dict else [Violation("", "object expected")]


def time_to_live(found: object) -> list[Violation] | None:
    """Check a duration such as "3.5s"."""
    seconds = _TTL(found) if isinstance(found, str) else None
    if seconds is not None and int(seconds[1]) <= MAX_TTL_S:
        return None
    return [Violation("", f'seconds as "3.5s", up to {MAX_TTL_S}, expected')]


@cache
def camel_case(name: str) -> str:
    """Return Google's other spelling of a snake_case name."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _collect(checked: Iterable[tuple[str, list[Violation] | None]]) -> list[Violation]:
    return [each.inside(name) for name, bad in checked if bad for each in bad]
