"""A form as a request brings it: its texts, bounded in size, time and what it costs to read them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

BODY_S: Final = 10.0
# Python's punycode takes seconds for what a body may hold, and whoever sends one would choose it. Browsers send UTF-8.
_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii"})


class NoForm(ValueError):
    """A body that is no form: broken, or in a character set that is not read here."""


async def read_texts(request: web.Request) -> Mapping[str, list[str]]:
    """Return the texts of a form by name, urlencoded or multipart; files count as not sent.

    Raises NoForm, TimeoutError after BODY_S, HTTPRequestEntityTooLarge beyond the application's client_max_size.
    """
    if (request.charset or "utf-8").lower() not in _CHARSETS:
        raise NoForm(f"the character set is not one of {sorted(_CHARSETS)}")
    try:
        async with asyncio.timeout(BODY_S):
            return await (_parts if request.content_type == "multipart/form-data" else _pairs)(request)
    except (ValueError, LookupError, RuntimeError, HttpProcessingError, RequestPayloadError) as error:
        # RuntimeError: what aiohttp says of an encoding for transfer that it does not know.
        raise NoForm("it could not be read") from error


async def _pairs(request: web.Request) -> Mapping[str, list[str]]:
    sent = await request.post()
    return {name: [text for text in sent.getall(name) if isinstance(text, str)] for name in sent}


async def _parts(request: web.Request) -> Mapping[str, list[str]]:
    """Read multipart/form-data, as RFC 8058 allows it; the character set that a part names is not asked for."""
    texts: dict[str, list[str]] = defaultdict(list)
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise NoForm("parts within parts")
        content = await part.read(decode=True)
        if request.content.total_bytes > request.client_max_size:
            raise web.HTTPRequestEntityTooLarge(request.client_max_size)
        if part.name and part.filename is None:
            texts[part.name].append(content.decode("utf-8"))
    return texts
