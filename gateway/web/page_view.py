"""Pages of wallet users as HTML: the templates, and the headers that keep a page and its address to its reader."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.web.page_texts import LANGUAGES, texts_in

PLACE: Final = Path(__file__).parent / "templates"
PAGES: Final = ("unsubscribe.html", "preferences.html", "message.html")


class PageView:
    """Renders pages. Reads all templates when it is made, so that no request waits for the disk."""

    def __init__(self) -> None:
        self._style = (PLACE / "style.css").read_text("utf-8")
        environment = Environment(
            loader=FileSystemLoader(PLACE), autoescape=True, undefined=StrictUndefined, auto_reload=False,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._templates = {name: environment.get_template(name) for name in (*PAGES, "base.html")}
        self._headers = _headers(self._style)

    def page(
        self, name: str, language: str, content: Mapping[str, object], status: int = 200, wait_s: int = 0
    ) -> web.Response:
        """Return a page. content: what the template of this name needs. wait_s: when to ask again, 0 for any time."""
        html = self._templates[name].render(
            {"t": texts_in(language), "language": language, "languages": LANGUAGES, "style": self._style, **content}
        )
        headers = {**self._headers, "Content-Language": language, **({"Retry-After": str(wait_s)} if wait_s else {})}
        return web.Response(text=html, content_type="text/html", charset="utf-8", status=status, headers=headers)

    def moved(self, query: str) -> web.Response:
        """Send a browser from a form back to its page, so that loading it again repeats nothing."""
        return web.Response(status=303, headers={**self._headers, "Location": query})


def _headers(style: str) -> dict[str, str]:
    """The address is the key: no referrer, no cache, no frame, no index; and nothing is loaded from anywhere."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        ),
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
        "X-Robots-Tag": "noindex, nofollow, noarchive",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Cache-Control": "no-store",
    }
