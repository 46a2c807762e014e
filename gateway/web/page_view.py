"""Pages of wallet users as HTML: their templates, filled in their language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from gateway.web.closed_page import PLACE, closed_headers, environment, page_response
from gateway.web.page_texts import LANGUAGES, texts_in

PAGES: Final = ("unsubscribe.html", "preferences.html", "message.html")


class PageView:
    """Renders pages. Reads all templates when it is made, so that no request waits for the disk."""

    def __init__(self) -> None:
        self._style = (PLACE / "style.css").read_text("utf-8")
        templates = environment()
        self._templates = {name: templates.get_template(name) for name in (*PAGES, "base.html")}
        self._headers = closed_headers(self._style)

    def page(
        self, name: str, language: str, content: Mapping[str, object], status: int = 200, wait_s: int = 0
    ) -> web.Response:
        """Return a page. content: what the template of this name needs. wait_s: when to ask again, 0 for any time."""
        html = self._templates[name].render(
            {"t": texts_in(language), "language": language, "languages": LANGUAGES, "style": self._style, **content}
        )
        return page_response(html, self._headers, language, status, wait_s)

    def moved(self, query: str) -> web.Response:
        """Send a browser from a form back to its page, so that loading it again repeats nothing."""
        return web.Response(status=303, headers={**self._headers, "Location": query})
