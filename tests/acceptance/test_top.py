"""`walletpush top` beside a gateway of two workers: once, as lines, on a terminal, and without a gateway."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator

import pytest

from protos.walletpush.v1 import delivery_pb2
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub
from tests.acceptance.gateway_process import Gateway
from tests.acceptance.messages import TIMEOUT_S, final, payment
from tests.acceptance.simulators import Simulators

WORDS = [sys.executable, "-m", "gateway", "top"]


def top(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*WORDS, *arguments], capture_output=True, text=True, timeout=30, check=False)


@contextlib.contextmanager
def running(
    *arguments: str, stdin: int | None = None, stdout: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    # A size that is said to be fixed would go before that of the terminal.
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")} | {"TERM": "xterm"}
    with subprocess.Popen([*WORDS, *arguments], stdin=stdin, stdout=stdout, text=True, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


def deliver(stub: DeliveryServiceStub, count: int) -> None:
    request = delivery_pb2.SendBatchRequest(notifications=[payment() for _ in range(count)])
    answer: delivery_pb2.SendBatchResponse = stub.SendBatch(request, timeout=TIMEOUT_S)
    for result in answer.results:
        final(stub, result.notification_id)


def test_once_prints_one_plain_picture(gateway: Gateway, simulators: Simulators) -> None:
    done = top("--web", gateway.web, "--once", "--interval", "0.3")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert f"{gateway.web}" in lines[0]
    assert "workers 2/2" in lines[0]
    assert "\x1b" not in done.stdout
    assert max(map(len, lines)) <= 80
    text = done.stdout
    for word in ("security", "transactional", "service", "marketing", "apns", "fcm", "closed", "commit", "worker0"):
        assert word in text


def test_lines_tell_what_was_delivered_between_two_looks(gateway: Gateway, delivery: DeliveryServiceStub) -> None:
    with running("--config", str(gateway.config), "--json", "--interval", "0.3") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        deliver(delivery, 50)
        looks = [first]
        deadline = time.monotonic() + 20
        while _total(looks, "delivered_per_s") < 49.5 and time.monotonic() < deadline:
            looks.append(json.loads(process.stdout.readline()))
    assert round(_total(looks[1:], "delivered_per_s")) == 50
    assert round(sum(_class(look)["accepted_per_s"] * look["seconds"] for look in looks[1:])) == 50
    told = [_class(look)["latency"] for look in looks[1:]]
    assert sum(one["count"] for one in told) == 50
    assert all(one["p50_ms"] <= one["p90_ms"] <= one["p99_ms"] for one in told if one["count"])
    assert {route["provider"] for route in looks[-1]["routes"] if route["connections"]} == {"apns", "fcm"}
    assert {one["name"] for one in looks[-1]["processes"]} >= {"supervisor", "worker0", "worker1"}


def test_on_a_small_terminal_it_draws_follows_the_size_and_leaves_with_q(gateway: Gateway) -> None:
    ours, theirs = pty.openpty()
    try:
        _resize(ours, 24, 80)
        before = termios.tcgetattr(theirs)
        with running("--web", gateway.web, "--interval", "0.2", stdin=theirs, stdout=theirs) as process:
            _read_until(ours, lambda seen: "transactional" in seen and "workers 2/2" in seen)
            _resize(ours, 50, 180)
            process.send_signal(28)  # SIGWINCH, as the kernel sends it to a terminal's foreground group
            _read_until(ours, lambda seen: "last minute" in seen)
            os.write(ours, b"xq")
            # What nobody reads it cannot write; this is how it leaves the screen of its own.
            _read_until(ours, lambda seen: "\x1b[?1049l" in seen)
            assert process.wait(20) == 0
        assert termios.tcgetattr(theirs) == before
    finally:
        os.close(ours)
        os.close(theirs)


def test_without_a_gateway_once_fails_and_the_others_keep_trying(unused_port: int) -> None:
    web = f"127.0.0.1:{unused_port}"
    done = top("--web", web, "--once")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"walletpush: http://{web}/metrics: ")
    with running("--web", web, "--json", "--interval", "0.2") as process:
        assert process.stdout is not None
        told = [json.loads(process.stdout.readline()) for _ in range(2)]
    assert all(one["error"] for one in told)


@pytest.mark.parametrize("web", ["localhost", "ftp://127.0.0.1:1", "http://127.0.0.1:port"])
def test_an_address_that_is_none_is_said_at_once(web: str) -> None:
    done = top("--web", web, "--once")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_a_key_is_not_sent_in_plain_text(gateway: Gateway) -> None:
    done = top("--web", "http://gateway.example:9090", "--key-file", str(gateway.config), "--once")
    assert done.returncode == 3
    assert "TLS" in done.stderr


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _total(looks: list[dict[str, float]], name: str) -> float:
    return sum(look[name] * look["seconds"] for look in looks)


def _class(look: dict[str, list[dict[str, dict[str, float]]]]) -> dict[str, dict[str, float]]:
    return look["classes"][1]


def _resize(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _read_until(terminal: int, good: Callable[[str], bool]) -> None:
    seen = b""
    deadline = time.monotonic() + 20
    while not good(seen.decode(errors="replace")):
        assert time.monotonic() < deadline, seen
        ready, _, _ = select.select([terminal], [], [], 0.5)
        if ready:
            seen += os.read(terminal, 65_536)
