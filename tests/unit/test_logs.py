"""What a log line shows, and what it never shows."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest
import structlog

from gateway.log_lines import LineWriter
from gateway.logs import configure, get_logger, set_level
from gateway.redaction import REMOVED, Redactor
from gateway.settings.components import Level, LogSettings

TOKEN = "ab12" * 16


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


class Lines:
    """A configured log and what came out of it."""

    def __init__(self, level: Level = "info", **fields: int) -> None:
        self.stream = io.StringIO()
        self._writer = configure(LogSettings(level=level), self.stream, b"k" * 32, **fields)

    def read(self) -> list[dict[str, object]]:
        self._writer.close()
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


def test_line_is_json_with_event_component_level_and_time() -> None:
    lines = Lines(worker=3)
    get_logger("settle").warning("route_paused", route=7)
    [line] = lines.read()
    assert str(line.pop("at")).endswith("Z")
    assert line == {"event": "route_paused", "component": "settle", "level": "warning", "route": 7, "worker": 3}


def test_lines_below_the_level_are_not_written() -> None:
    lines = Lines("warning")
    get_logger("x").info("small")
    get_logger("x").error("big")
    assert [line["event"] for line in lines.read()] == ["big"]


def test_level_of_existing_loggers_changes_with_a_reload() -> None:
    lines = Lines("error")
    logger = get_logger("x")
    logger.info("before")
    set_level("info")
    logger.info("after")
    assert [line["event"] for line in lines.read()] == ["after"]


def test_library_logs_come_as_events() -> None:
    lines = Lines()
    logging.getLogger("aiohttp.client").warning("lost %s", "host")
    logging.getLogger("aiohttp.client").info("chatter")
    [line] = lines.read()
    assert (line["event"], line["component"], line["text"]) == ("library_log", "aiohttp.client", "lost host")


def test_exceptions_keep_their_trace_without_secrets() -> None:
    lines = Lines()
    try:
        raise ValueError(f"POST /3/device/{TOKEN} failed")
    except ValueError:
        get_logger("x").exception("send_failed")
    [line] = lines.read()
    assert "ValueError" in str(line["exception"])
    assert TOKEN not in json.dumps(line)


@pytest.mark.parametrize("name", ["token", "device_token", "user_id", "idempotency_key", "Token"])
def test_identifying_fields_are_hashed(name: str) -> None:
    redactor = Redactor(b"k" * 32)
    event = redactor(None, "info", {name: TOKEN})
    assert event[name] == redactor.hashed(TOKEN)
    assert Redactor(b"j" * 32).hashed(TOKEN) != event[name]


@pytest.mark.parametrize("name", ["payload", "authorization", "key", "title", "oauth_token", "api_secret", "Password"])
def test_secret_fields_are_left_out(name: str) -> None:
    assert Redactor()(None, "info", {name: "s3cret"}) == {name: REMOVED}


@pytest.mark.parametrize(
    "text",
    [
        "authorization: Bearer s3cret.s3cret",
        f"POST /3/device/{TOKEN} HTTP/2",
        f"token {TOKEN} is gone",
        f"GET https://wallet.example/p/AVO7-{'s3cret' * 10}?lang=en failed",
        "jwt eyJhbGciOiJFUzI1NiJ9.s3cret.s3cret",
        "fcm dGVzdGluZw12:APA91s3crets3crets3crets3crets3cret",
        "-----BEGIN EC PRIVATE KEY-----\ns3cret\n-----END EC PRIVATE KEY-----",
    ],
)
def test_secrets_inside_a_text_are_left_out(text: str) -> None:
    shown = str(Redactor()(None, "info", {"error": text})["error"])
    assert REMOVED in shown
    assert "s3cret" not in shown
    assert TOKEN not in shown


def test_nested_fields_are_redacted_too() -> None:
    event = Redactor()(None, "info", {"device": {"token": TOKEN, "platform": "apns"}, "all": [f"bearer {TOKEN}"]})
    assert TOKEN not in str(event)
    assert event["device"]["platform"] == "apns"


def test_device_key_is_shown_as_hex() -> None:
    assert Redactor()(None, "info", {"device_key": 255})["device_key"] == "00000000000000ff"
    assert Redactor()(None, "info", {"device_key": -1})["device_key"] == "f" * 16


def test_bytes_are_counted_not_shown() -> None:
    assert Redactor()(None, "info", {"raw": b"abc"}) == {"raw": "[3 bytes]"}


class StuckStream(io.StringIO):
    """A stream whose reader has stopped reading."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = threading.Event()

    def write(self, text: str) -> int:
        self.reading.wait(10)
        return super().write(text)


def test_writing_never_waits_for_a_stuck_stream_and_drops_are_told() -> None:
    stream = StuckStream()
    writer = LineWriter(stream, max_lines=10)
    for number in range(100):
        writer.write(f"{number}\n")
    assert 88 <= writer.dropped <= 90
    stream.reading.set()
    writer.close()
    assert f'"total": {writer.dropped}' in stream.getvalue()
    assert stream.getvalue().startswith("0\n")


def test_writer_survives_a_closed_stream() -> None:
    stream = io.StringIO()
    stream.close()
    writer = LineWriter(stream)
    writer.write("x\n")
    writer.write("y\n")
    writer.close()
