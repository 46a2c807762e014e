"""The preview page as HTML: one template and one style, for how a message looks at an hour and place."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from aiohttp import web
from babel.dates import format_date

from core.content.locales import parse_tag
from core.content.templates import VariableType
from core.policy.zones import is_zone, zone_info
from gateway.web.closed_page import PLACE, closed_headers, environment, page_response
from gateway.web.preview_form import LOCALES, TEXTS, Entered
from gateway.web.preview_looks import Looks
from gateway.web.preview_texts import LANGUAGES, texts_in

TYPES: Final = tuple(VariableType.__members__)
STATUS_OF_PROBLEMS: Final = 422


class PreviewView:
    """Renders the page. Reads its template when it is made, so that no request waits for the disk."""

    def __init__(self) -> None:
        self._style = (PLACE / "preview.css").read_text("utf-8")
        self._template = environment().get_template("preview.html")
        self._headers = closed_headers(self._style)

    def page(
        self, language: str, entered: Entered, looks: Looks, *, now_unix_s: int, apps: tuple[str, ...] | None = None,
        shown_version: int = 0, status: int = 0, wait_s: int = 0,
    ) -> web.Response:  # fmt: skip
        """Return the page. apps: whose stored templates can be asked for, None where there is no store.

        status: 0 for what the problems amount to.
        """
        html = self._template.render(
            t=texts_in(language), language=language, languages=LANGUAGES, style=self._style, entered=entered,
            looks=looks, apps=apps, shown_version=shown_version, locales=LOCALES, fields=TEXTS, types=TYPES,
            clock=_clock(entered, now_unix_s), day=_day(entered, now_unix_s),
        )  # fmt: skip
        usual = STATUS_OF_PROBLEMS if looks.problems else 200
        return page_response(html, self._headers, language, status or usual, wait_s)


def _local(entered: Entered, now_unix_s: int) -> datetime:
    zone = zone_info(entered.time_zone) if is_zone(entered.time_zone) else UTC
    return datetime.fromtimestamp(now_unix_s, zone)


def _clock(entered: Entered, now_unix_s: int) -> str:
    return _local(entered, now_unix_s).strftime("%H:%M")


def _day(entered: Entered, now_unix_s: int) -> str:
    """Return the day as a locked phone writes it."""
    tag = parse_tag(entered.locale)
    pattern = "M月d日 EEEE" if tag is not None and tag.language in ("zh", "ja") else "EEEE, d MMMM"
    language = tag.language if tag is not None else "en"
    return format_date(_local(entered, now_unix_s).date(), pattern, locale=language)
