"""Structured logs: an event's name and its fields, as JSON for machines or coloured for people."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO, cast

import orjson
import structlog
from structlog.typing import FilteringBoundLogger, Processor

from gateway.log_lines import LineWriter
from gateway.redaction import Redactor
from gateway.settings.components import Level, LogSettings

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def get_logger(component: str) -> FilteringBoundLogger:
    """Return a logger whose lines carry the component's name; may be called before `configure`."""
    return cast(FilteringBoundLogger, structlog.get_logger(component=component))


def configure(
    settings: LogSettings, stream: TextIO | None = None, redact_key: bytes | None = None, **fields: str | int
) -> LineWriter:
    """Send the logs of this process, those of libraries included, to the stream; close the result at the end.

    stream: stderr when None.
    redact_key: keys the hashes of redacted values; the same for all workers makes them comparable.
    fields: stand on every line (worker=1).
    """
    stream = stream or sys.stderr
    writer = LineWriter(stream)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _stamped(fields),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            Redactor(redact_key),
            _renderer(settings, stream),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, writer)),
        # Not cached, so that a reload may change the level of loggers that exist.
        cache_logger_on_first_use=False,
    )
    logging.getLogger().handlers[:] = [_Forward()]
    set_level(settings.level)
    return writer


def set_level(level: Level) -> None:
    """Change the least level that is written, also of loggers that exist; libraries never say less than warnings."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]))
    logging.getLogger().setLevel(max(LEVELS[level], logging.WARNING))


class _Forward(logging.Handler):
    """What libraries log, told as events of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = get_logger(record.name)
        exc_info = record.exc_info if record.exc_info and record.exc_info[0] else None
        logger.log(record.levelno, "library_log", text=record.getMessage(), exc_info=exc_info)


def _stamped(fields: Mapping[str, str | int]) -> Processor:
    def stamp(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for name, value in fields.items():
            event.setdefault(name, value)
        return event

    return stamp


def _renderer(settings: LogSettings, stream: TextIO) -> Processor:
    if settings.format == "console":
        return structlog.dev.ConsoleRenderer(colors=stream.isatty())
    return structlog.processors.JSONRenderer(serializer=_dumps)


def _dumps(event: object, **_options: object) -> str:
    return orjson.dumps(event, option=orjson.OPT_NON_STR_KEYS).decode()
