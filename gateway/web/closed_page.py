"""Pages for one reader's eyes: templates from the disk, and headers that let nothing in and keep the address back."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

PLACE: Final = Path(__file__).parent / "templates"


def environment() -> Environment:
    """Return what reads the templates: everything is escaped, and an unknown name is an error."""
    return Environment(
        loader=FileSystemLoader(PLACE), autoescape=True, undefined=StrictUndefined, auto_reload=False,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def closed_headers(style: str) -> Mapping[str, str]:
    """Return headers for pages with this style. Nothing else is loaded and nothing runs.

    The address may be a key: no referrer, no cache, no frame, no index.
    """
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


def page_response(html: str, headers: Mapping[str, str], language: str, status: int, wait_s: int) -> web.Response:
    """Return a page in a language. wait_s: when to ask again, 0 for any time."""
    again = {"Retry-After": str(wait_s)} if wait_s else {}
    told = {**headers, "Content-Language": language, **again}
    return web.Response(text=html, content_type="text/html", charset="utf-8", status=status, headers=told)
