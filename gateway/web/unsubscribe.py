"""Unsubscribing by link: a look changes nothing, one POST does it (RFC 8058), and a second thought takes it back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from aiohttp import web

from core.model import NotificationClass
from core.people import ConsentMethod
from core.policy.people import EVERY_CATEGORY, Category
from gateway.web.links import Purpose
from gateway.web.page_choices import Pick, consent, covered, may_stop, no_to_all, wanted, wants
from gateway.web.page_texts import purpose_of, texts_in, title_of
from gateway.web.preference_form import chosen
from gateway.web.visit import Visit

# https://www.rfc-editor.org/rfc/rfc8058#section-3.1
ONE_CLICK: Final = ("List-Unsubscribe", "One-Click")


async def show_unsubscribe(visit: Visit) -> web.Response:
    """Ask whether the user means it."""
    return _page(visit, _state(visit))


async def answer_unsubscribe(visit: Visit) -> web.Response:
    """Unsubscribe, or take it back; answered with a page, never by sending elsewhere.

    https://www.rfc-editor.org/rfc/rfc8058#section-3.2
    """
    name, value = ONE_CLICK
    if visit.field(name) == value or visit.field("answer") == "stop":
        return await _stop(visit)
    if visit.field("answer") == "undo":
        return await _undo(visit)
    return visit.refused("form", 400)


async def _stop(visit: Visit) -> web.Response:
    link, state = visit.link, _state(visit)
    if state == "cannot":
        return _page(visit, state, status=409)
    before = _in_scope(visit)
    # Once more says nothing new, and must not make the history grow.
    if visit.recipient.choices.get((link.category, link.channel)) is not False or before:
        no = no_to_all(link.category, link.channel, visit.said(ConsentMethod.UNSUBSCRIBE_LINK))
        await visit.book.update(link.app, link.user_id, [no], None, visit.now_unix_ms)
    return _page(visit, "done", restore=before)


async def _undo(visit: Visit) -> web.Response:
    restore = visit.field("restore")
    if not visit.proved(_undo_content(restore, _digest(visit))):
        return visit.refused("form", 403)
    picks = frozenset(restore.split(","))
    categories, channels = covered(visit.rules, visit.link.category, visit.link.channel)
    said = visit.said(ConsentMethod.PREFERENCE_CENTRE, "undo_text")
    again = [
        consent(visit.rules, category, channel, said, granted=True)
        for category in categories if visit.rules.category(category.name)
        for channel in channels if str(Pick(category.name, channel)) in picks
    ]  # fmt: skip
    await visit.book.update(visit.link.app, visit.link.user_id, again, None, visit.now_unix_ms)
    return _page(visit, "undone")


def _state(visit: Visit) -> str:
    """Return ask, done where nothing of it is on and a no stands, or cannot where it is always on."""
    link = visit.link
    categories, channels = covered(visit.rules, link.category, link.channel)
    if not any(map(may_stop, categories)) and link.category != EVERY_CATEGORY:
        return "cannot"
    off = not any(wants(one, channel, visit.recipient) for one in categories for channel in channels)
    return "done" if off and visit.recipient.choices.get((link.category, link.channel)) is False else "ask"


def _in_scope(visit: Visit) -> frozenset[Pick]:
    categories, channels = covered(visit.rules, visit.link.category, visit.link.channel)
    return wanted(categories, channels, visit.recipient)


def _page(visit: Visit, state: str, restore: Iterable[Pick] = (), status: int = 200) -> web.Response:
    link, language = visit.link, visit.language
    categories, _ = covered(visit.rules, link.category, link.channel)
    picks = sorted(restore)
    joined = ",".join(map(str, picks))
    centre = visit.sealer.seal(link._replace(purpose=Purpose.PREFERENCES, category="", channel=0))
    content = {
        "app_name": visit.app_name, "state": state, "categories": [_shown(one, language) for one in categories],
        "all_marketing": link.category == EVERY_CATEGORY, "channel": link.channel, "centre": centre,
        "one_click": ONE_CLICK, "restore": joined, "again": _again(visit, picks),
        "proof": visit.proof(_undo_content(joined, _digest_after(visit))) if picks else "",
    }  # fmt: skip
    return visit.view.page("unsubscribe.html", language, content, status)


def _shown(category: Category, language: str) -> dict[str, str]:
    kind = NotificationClass(category.klass).name
    return {"title": title_of(category, language), "purpose": purpose_of(category, language), "kind": kind}


def _again(visit: Visit, picks: Sequence[Pick]) -> list[dict[str, str]]:
    """Return what an undo would have sent again: each category, said as the consent to it will name it, and by what."""
    texts, found = texts_in(visit.language), []
    for name in dict.fromkeys(pick.category for pick in picks):
        category = visit.rules.category(name)
        ways = " · ".join(texts[f"channel_{pick.channel}"] for pick in picks if pick.category == name)
        found += [{**_shown(category, visit.language), "ways": ways}] if category else []
    return found


def _undo_content(restore: str, digest: str) -> str:
    return f"undo {digest} {restore}"


def _digest(visit: Visit) -> str:
    """Return what is on now: an undo counts only for what this very unsubscribing left."""
    return chosen(visit.recipient, visit.rules, visit.channels).digest()


def _digest_after(visit: Visit) -> str:
    choices = chosen(visit.recipient, visit.rules, visit.channels)
    return replace(choices, on=choices.on - _in_scope(visit)).digest()
