"""What is in force after users said something: each answer taken by its age, each no taking back the yes it covers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple, TypeAlias

from core.people import Consent
from core.policy.people import EVERY_CATEGORY, EVERY_CHANNEL, Suppression


class Choice(NamedTuple):
    """An answer and when it was given."""

    granted: bool
    said_unix_ms: int


Answers: TypeAlias = dict[tuple[str, int], Choice]


def answer(answers: Answers, consents: Iterable[Consent], spared: Collection[str]) -> None:
    """Take consents in the order in which they were recorded; of one age the later one counts.

    spared: categories that are no marketing, which a no to every category does not cover. Raises ValueError for a yes
    to every category or channel.
    """
    for consent in consents:
        scope = (consent.category, consent.channel)
        if consent.granted and (consent.category == EVERY_CATEGORY or consent.channel == EVERY_CHANNEL):
            raise ValueError("only a no can be said of every category or channel")
        if consent.said_unix_ms < newest_word(answers, scope, spared, granted=consent.granted):
            continue
        answers[scope] = Choice(consent.granted, consent.said_unix_ms)
        if not consent.granted:
            take_back(answers, scope, spared, consent.said_unix_ms)


def newest_word(answers: Answers, scope: tuple[str, int], spared: Collection[str], *, granted: bool) -> int:
    """Return when the newest answer was given that stands against one of this scope; 0 if there is none.

    Against a yes stands each no that covers it, against a no only the answer of the same scope.
    """
    said = [answers[scope].said_unix_ms] if scope in answers else []
    if granted:
        said += [one.said_unix_ms for wide, one in answers.items() if not one.granted and covers(wide, scope, spared)]
    return max(said, default=0)


def take_back(answers: Answers, no: tuple[str, int], spared: Collection[str], said_unix_ms: int) -> None:
    """Remove each yes that a no covers and that was not given after it."""
    for scope in [scope for scope, one in answers.items() if one.granted and one.said_unix_ms <= said_unix_ms]:
        if covers(no, scope, spared):
            del answers[scope]


def covers(no: tuple[str, int], scope: tuple[str, int], spared: Collection[str]) -> bool:
    """Tell whether a no of one scope is also one of another."""
    category, channel = no
    every = category == EVERY_CATEGORY and scope[0] not in spared
    return (every or category == scope[0]) and channel in (EVERY_CHANNEL, scope[1])


def merged_answers(ours: Mapping[tuple[str, int], Choice], theirs: Answers, spared: Collection[str]) -> Answers:
    """Return what is in force for two users who are one: of two answers the no stays, whenever it was given."""
    merged = dict(ours)
    for scope, one in theirs.items():
        known = merged.get(scope)
        if known is None or (known.granted and not one.granted):
            merged[scope] = one
        elif known.granted == one.granted:
            merged[scope] = max(known, one)
    for mine, others in ((ours, theirs), (theirs, ours)):
        for no in [scope for scope, one in mine.items() if not one.granted]:
            for scope in [scope for scope, one in others.items() if one.granted and covers(no, scope, spared)]:
                if scope in merged and merged[scope].granted:
                    del merged[scope]
    return merged


def merged_suppressions(ours: Iterable[Suppression], theirs: Iterable[Suppression]) -> list[Suppression]:
    """Return what suppresses two users who are one: all of it, and of two of one scope the wider and longer."""
    merged = {(one.category, one.channel): one for one in ours}
    for one in theirs:
        known = merged.get((one.category, one.channel))
        merged[one.category, one.channel] = one if known is None else wider(known, one)
    return list(merged.values())


def wider(ours: Suppression, theirs: Suppression) -> Suppression:
    """Return a suppression that stops what either stops, for as long."""
    endless = not (ours.end_unix_ms and theirs.end_unix_ms)
    return ours._replace(
        includes_transactional=ours.includes_transactional or theirs.includes_transactional,
        end_unix_ms=0 if endless else max(ours.end_unix_ms, theirs.end_unix_ms),
    )
