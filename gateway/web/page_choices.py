"""What users may choose on the pages, what they have chosen, and the consents that record a change of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from core.model import NotificationClass
from core.people import Consent, ConsentMethod
from core.policy.consent import standing
from core.policy.people import EVERY_CATEGORY, EVERY_CHANNEL, Category, Channel, Recipient
from core.policy.rules import AppRules
from gateway.web.page_texts import wording_digest

ACTOR: Final = "user"


@dataclass(frozen=True, slots=True, order=True)
class Pick:
    """A category by a channel."""

    category: str
    channel: int

    def __str__(self) -> str:
        """Write it as forms do."""
        return f"{self.channel}:{self.category}"


@dataclass(frozen=True, slots=True)
class Said:
    """How an answer was given: by which page, in which language, with which link's hash, when, and which text asked."""

    method: ConsentMethod
    language: str
    link_hash: str
    now_unix_ms: int
    asking: str = ""


def may_stop(category: Category) -> bool:
    """Tell whether a no to the category is followed."""
    if category.klass == NotificationClass.SECURITY:
        return False
    return category.klass == NotificationClass.MARKETING or category.user_may_disable


def wants(category: Category, channel: int, recipient: Recipient) -> bool:
    """Tell whether the user has it on, whatever is suppressed at present."""
    return standing(category, channel, replace(recipient, suppressions=()), 0).allowed


def wanted(categories: Iterable[Category], channels: Iterable[int], recipient: Recipient) -> frozenset[Pick]:
    """Return all that a user has on of what can be switched off."""
    asked = tuple(channels)
    return frozenset(
        Pick(category.name, channel)
        for category in categories if may_stop(category)
        for channel in asked if wants(category, channel, recipient)
    )  # fmt: skip


def covered(rules: AppRules, category: str, channel: int) -> tuple[tuple[Category, ...], tuple[int, ...]]:
    """Return the categories and channels that a link's scope stands for.

    A category that has left the settings since is taken for marketing, which users may always refuse.
    """
    channels = (channel,) if channel != EVERY_CHANNEL else tuple(map(int, Channel))
    if category == EVERY_CATEGORY:
        return tuple(one for one in rules.categories if one.klass == NotificationClass.MARKETING), channels
    return (rules.category(category) or Category(category, NotificationClass.MARKETING, default_on=False),), channels


def consents(rules: AppRules, before: frozenset[Pick], after: frozenset[Pick], said: Said) -> Iterator[Consent]:
    """Give a line of history for each switch that was moved, in the order of the settings."""
    for category in rules.categories:
        for channel in map(int, Channel):
            pick = Pick(category.name, channel)
            if (pick in before) != (pick in after):
                yield consent(rules, category, channel, said, granted=pick in after)


def consent(rules: AppRules, category: Category, channel: int, said: Said, *, granted: bool) -> Consent:
    """Return the record of one answer, to the wording that the page showed.

    Where the settings name versions of the wording, the newest is named, and the texts' digest is the evidence's.
    """
    digest = wording_digest(category, said.language, said.asking)
    version = rules.wording_versions[-1] if rules.wording_versions else digest
    evidence = f"link {said.link_hash}, wording {digest}"
    return Consent(category.name, channel, granted, said.method, version, ACTOR, said.now_unix_ms, evidence)


def no_to_all(category: str, channel: int, said: Said) -> Consent:
    """Return the record of a no to a whole scope: "" for all marketing, 0 for every channel."""
    return Consent(
        category, channel, granted=False, method=said.method, wording_version="", actor=ACTOR,
        said_unix_ms=said.now_unix_ms, evidence=f"link {said.link_hash}",
    )  # fmt: skip
