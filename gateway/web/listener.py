"""Where the HTTP side listens: address, TLS, start and stop."""

from __future__ import annotations

import logging
import ssl
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from gateway.callers import CallerBook
from gateway.settings.components import WebSettings
from gateway.settings.root import Settings
from gateway.settings.values import is_loopback, split_address
from gateway.web.first_answers import KEEPALIVE_S, PATIENCE_S, FirstAnswers


def guard_of(settings: Settings) -> CallerBook | None:
    """Return who may read metrics; None on loopback or without callers, where everyone who can connect may."""
    guarded = bool(settings.callers) and not is_loopback(settings.web.listen)
    return CallerBook(settings.callers) if guarded else None


class WebListener:
    """Serves an application while it is entered. Raises OSError when the address cannot be bound."""

    def __init__(self, app: web.Application, settings: WebSettings, patience_s: float = PATIENCE_S) -> None:
        """patience_s: how long a connection may be open without a request."""
        self._first = FirstAnswers(app, patience_s)
        self._runner = web.AppRunner(
            app, access_log=None, logger=_logger(), shutdown_timeout=2.0, handle_signals=False,
            keepalive_timeout=KEEPALIVE_S,
        )  # fmt: skip
        self._settings = settings

    @property
    def port(self) -> int:
        """The port that was bound; of use when the settings say 0."""
        address: tuple[str, int] = self._runner.addresses[0]
        return address[1]

    async def __aenter__(self) -> Self:
        host, port = split_address(self._settings.listen)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, ssl_context=self._tls()).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        if self._runner.server is not None:
            self._first.watch(self._runner.server)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._first.stop()
        await self._runner.cleanup()

    def _tls(self) -> ssl.SSLContext | None:
        if self._settings.tls_cert_file is None or self._settings.tls_key_file is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._settings.tls_cert_file, self._settings.tls_key_file)
        return context


def _logger() -> logging.Logger:
    logger = logging.getLogger("gateway.web.listener")
    # The same function counts as one filter, however often it is added.
    logger.addFilter(_is_ours)
    return logger


def _is_ours(record: logging.LogRecord) -> bool:
    """Tell whether a record is of a fault of ours: those of broken requests quote links, which are keys."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | RequestPayloadError)
