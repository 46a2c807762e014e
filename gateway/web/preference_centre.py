"""The preference centre: shows a user what they may choose and why it is asked, and records what they say."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from aiohttp import web

from core.model import NotificationClass
from core.people import Consent, ConsentMethod, User, UserChange
from core.policy.people import EVERY_CATEGORY, EVERY_CHANNEL, Category, LockScreenDetail, Recipient
from core.policy.suppression import stopped_by
from gateway.web.page_choices import Pick, consents, may_stop, no_to_all
from gateway.web.page_texts import purpose_of, texts_in, title_of
from gateway.web.preference_form import (
    APP,
    KEEP,
    OWN,
    Choices,
    QuietChoice,
    chosen,
    hours_words,
    locale_options,
    quiet_windows,
    read_form,
)
from gateway.web.visit import Visit
from gateway.web.zone_options import zone_options

FORM: Final = "preferences"
_NOTICES: Final = ("saved", "unchanged")
_FIELDS: Final = ("locale", "time_zone", "lock_screen")


async def show_preferences(visit: Visit) -> web.Response:
    """Show what the user has chosen; changes nothing."""
    return await _page(visit, _chosen(visit), (visit.saved,) if visit.saved in _NOTICES else ())


async def change_preferences(visit: Visit) -> web.Response:
    """Record what the form says, if it came from this page and nothing changed meanwhile."""
    if not visit.proved(FORM):
        return visit.refused("form", 403)
    before = _chosen(visit)
    if visit.field("action") == "stop_all":
        return await _stop_all(visit)
    answer = read_form(visit.fields, visit.rules, visit.channels, before)
    if answer.wrong:
        return await _page(visit, answer.choices, answer.wrong, status=422)
    if answer.choices == before:
        return _back(visit, "unchanged" if visit.field("state") == before.digest() else "saved")
    if visit.field("state") != before.digest():
        return await _page(visit, before, ("conflict",), status=409)
    await _store(visit, before, answer.choices)
    return _back(visit, "saved")


async def _stop_all(visit: Visit) -> web.Response:
    scope = (EVERY_CATEGORY, EVERY_CHANNEL)
    marketing = {one.name for one in visit.rules.categories if one.klass == NotificationClass.MARKETING}
    on = any(granted and category in marketing for (category, _), granted in visit.recipient.choices.items())
    if not on and visit.recipient.choices.get(scope) is False:
        return _back(visit, "unchanged")
    no = no_to_all(*scope, visit.said(ConsentMethod.PREFERENCE_CENTRE))
    await visit.book.update(visit.link.app, visit.link.user_id, [no], None, visit.now_unix_ms)
    return _back(visit, "saved")


async def _store(visit: Visit, before: Choices, after: Choices) -> None:
    app, user_id, now_unix_ms = visit.link.app, visit.link.user_id, visit.now_unix_ms
    lines: list[Consent] = [
        *consents(visit.rules, before.on, after.on, visit.said(ConsentMethod.PREFERENCE_CENTRE))
    ]
    quiet = after.quiet if after.quiet != before.quiet else None
    if lines or quiet is not None:
        windows = None if quiet is None else quiet_windows(quiet) if quiet.mode == OWN else ()
        await visit.book.update(app, user_id, lines, windows, now_unix_ms)
    changed = frozenset(field for field in _FIELDS if getattr(before, field) != getattr(after, field))
    if changed:
        user = User(app, user_id, after.locale, after.time_zone, lock_screen=after.lock_screen)
        await visit.book.upsert([UserChange(user, changed)], now_unix_ms)
    if after.too_many != before.too_many:
        await visit.book.set_too_many(app, user_id, after.too_many)


def _chosen(visit: Visit) -> Choices:
    return chosen(visit.recipient, visit.rules, visit.channels)


def _back(visit: Visit, saved: str) -> web.Response:
    return visit.view.moved(f"?saved={saved}&lang={visit.language}#notice")


async def _page(visit: Visit, choices: Choices, notices: Sequence[str], status: int = 200) -> web.Response:
    recipient, rules, language = visit.recipient, visit.rules, visit.language
    texts = texts_in(language)
    # Half a second's work at its first call.
    zones = await asyncio.to_thread(zone_options, language, choices.time_zone, recipient.country or rules.country)
    content: dict[str, object] = {
        "app_name": visit.app_name, "notices": notices, "groups": _groups(visit, choices), "choices": choices,
        "channels": visit.channels, "app_hours": hours_words(rules.quiet_windows, texts),
        "own_hours": hours_words(recipient.quiet_windows, texts), "modes": (APP, OWN, KEEP),
        "keeps": choices.quiet.mode == KEEP, "locales": locale_options(choices.locale),
        "zones": zones,
        "locks": tuple(LockScreenDetail), "state": _chosen(visit).digest(), "proof": visit.proof(FORM),
        "weekly": rules.adaptive.limit(recipient.last_open_unix_ms, recipient.too_many, visit.now_unix_ms),
        "typed": choices.quiet if choices.quiet.mode == OWN else QuietChoice(),
    }  # fmt: skip
    return visit.view.page("preferences.html", language, content, status)


def _groups(visit: Visit, choices: Choices) -> Mapping[str, list[dict[str, object]]]:
    """Return the categories under always, service and marketing, in the order of the settings."""
    groups: dict[str, list[dict[str, object]]] = defaultdict(list)
    for category in visit.rules.categories:
        marketing = category.klass == NotificationClass.MARKETING
        group = "always" if not may_stop(category) else "marketing" if marketing else "service"
        groups[group].append(_shown(visit, category, choices))
    return groups


def _shown(visit: Visit, category: Category, choices: Choices) -> dict[str, object]:
    return {
        "name": category.name,
        "kind": NotificationClass(category.klass).name,
        "title": title_of(category, visit.language),
        "purpose": purpose_of(category, visit.language),
        "on": {one for one in visit.channels if Pick(category.name, one) in choices.on},
        "paused": _paused(category, visit.channels, visit.recipient, visit.now_unix_ms),
    }


def _paused(category: Category, channels: Sequence[int], recipient: Recipient, now_unix_ms: int) -> bool:
    return any(
        stopped_by(category.klass, category.name, channel, recipient, now_unix_ms) is not None for channel in channels
    )
