"""One visit of a wallet user to a page: who, by which link, in which language, and what is known of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from core.people import ConsentMethod, UserChange
from core.policy.people import Recipient
from core.policy.rules import AppRules
from gateway.services.preferences import PreferenceBook
from gateway.web.links import Link, LinkSealer
from gateway.web.page_choices import Said
from gateway.web.page_texts import LANGUAGES, accepted, language_for
from gateway.web.page_view import PageView
from gateway.web.preference_form import Fields


class PeopleBook(PreferenceBook, Protocol):
    """What the pages need of the file of users."""

    async def recipients(self, app: str, user_ids: Sequence[str], attributes: bool) -> Mapping[str, Recipient]:
        """Return what is known of users. Raises Unavailable."""

    async def upsert(self, changes: Sequence[UserChange], now_unix_ms: int) -> list[bool]:
        """Store fields of users. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A link that opened, and what belongs to it.

    saved: what the page before this one did. foreign: whether a browser says that another site sent it here. fields: of
    the form that was sent, none for a look.
    """

    token: str
    link: Link
    rules: AppRules
    recipient: Recipient
    book: PeopleBook
    view: PageView
    sealer: LinkSealer
    language: str
    app_name: str
    channels: tuple[int, ...]
    now_unix_ms: int
    saved: str
    foreign: bool
    fields: Fields

    def said(self, method: ConsentMethod, asking: str = "") -> Said:
        """Return how an answer on this page is given. asking: which text asked, "" for the category's own."""
        link_hash = hashlib.sha256(self.token.encode()).hexdigest()[:32]
        return Said(method, self.language, link_hash, self.now_unix_ms, asking)

    def field(self, name: str) -> str:
        """Return a field of the form, "" where it was not sent."""
        return next(iter(self.fields.get(name, ())), "")

    def proof(self, content: str) -> str:
        """Return what a form must bring back to show that it came from this page."""
        return self.sealer.sign_form(self.token, content, self.now_unix_ms)

    def proved(self, content: str) -> bool:
        """Tell whether the form that was sent came from this page."""
        return not self.foreign and self.sealer.form_is_ours(self.token, content, self.field("proof"), self.now_unix_ms)

    def refused(self, text: str, status: int) -> web.Response:
        """Return a page that tells why nothing was done."""
        return message(self.view, self.language, text, status, back=True)


def message(
    view: PageView, language: str, text: str, status: int, *, back: bool = False, wait_s: int = 0
) -> web.Response:
    """Return a page with one of the texts that have a title and a text. back: whether the link still opens."""
    return view.page("message.html", language, {"text": text, "back": back}, status, wait_s)


def language_of(request: web.Request, recipient: Recipient | None, rules: AppRules | None) -> str:
    """Return the language of a page: as picked on it, else the user's, the browser's, the app's."""
    picked = request.query.get("lang", "")
    if picked in LANGUAGES:
        return picked
    own = [recipient.locale] if recipient else []
    general = [rules.default_locale] if rules else []
    return language_for([*own, *accepted(request.headers.get("Accept-Language", "")), *general])
