"""Asks a gateway for its metrics over HTTP."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp

from gateway.top.reading import Reading, parse

TIMEOUT_S = 5.0
MAX_BYTES = 64 << 20


class NoAnswer(Exception):
    """The gateway could not be asked; the text says why."""


class Source:
    """Use as an async context manager. url: of /metrics. key: a caller's that may read metrics."""

    def __init__(self, url: str, key: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.url = url
        self._tls = tls
        self._headers: Mapping[str, str] = {"Authorization": f"Bearer {key}"} if key else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._tls if self._tls is not None else True)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def read(self) -> Reading:
        """Look once. Raises NoAnswer."""
        text = await self._fetch()
        try:
            reading = await asyncio.to_thread(parse, text, time.monotonic())
        except ValueError as error:
            raise NoAnswer(f"what it answers are no metrics: {error}") from error
        if not reading.of("walletpush_workers") and not reading.of("walletpush_deliveries_pending"):
            raise NoAnswer("it answers with metrics that are not a gateway's")
        return reading

    async def _fetch(self) -> str:
        if self._session is None:
            raise RuntimeError("not entered")
        try:
            async with self._session.get(self.url) as answer:
                if answer.status in (401, 403):
                    raise NoAnswer("it wants a key that may read metrics: name its file with --key-file")
                if answer.status != 200:
                    raise NoAnswer(f"it answers {answer.status}")
                return (await _bounded(answer.content)).decode("utf-8", "replace")
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {TIMEOUT_S:g} s") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise NoAnswer("its certificate is not known: name its CA with --ca-file") from error
        except aiohttp.ClientConnectorError as error:
            number = error.os_error.errno
            raise NoAnswer(os.strerror(number) if number and number > 0 else str(error)) from error
        except (aiohttp.ClientError, aiohttp.InvalidURL) as error:
            raise NoAnswer(str(error) or type(error).__name__) from error


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > MAX_BYTES:
            raise NoAnswer(f"it answers with more than {MAX_BYTES >> 20} MiB")
    return bytes(body)
