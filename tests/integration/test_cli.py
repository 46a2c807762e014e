"""`walletpush` as a person types it: results, exit codes, and failures without a traceback."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.errors import Unavailable
from gateway.callers import PermissionDenied, hash_key
from gateway.cli import main
from gateway.client import DeliveryState, Receipt
from gateway.settings.printing import example_toml
from tests.fixtures_gateway import APP, Deliveries, SmallGateway, small_gateway

Run = Callable[..., tuple[int, str, str]]
TOKEN = "ab" * 32


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def runner(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return runner


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallGateway]:
    """A small gateway on a loop of its own, since each command runs one."""
    ready, stop = threading.Event(), asyncio.Event()
    found: list[tuple[SmallGateway, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        async with small_gateway() as running:
            found.append((running, asyncio.get_running_loop()))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    running, loop = found[0]
    monkeypatch.setenv("WP_ADDRESS", running.address)
    try:
        yield running
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def test_help_comes_quickly_and_tells_the_exit_codes() -> None:
    spent_s = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-m", "gateway", "--help"], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # Of processor time, which a busy machine lengthens less than the wall's; importing gRPC alone would double it.
    assert min(spent_s) < 0.7
    assert "Exit codes" in done.stdout
    assert "worker" not in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "serve", "demo", "send", "simulate", "receipts", "top", "devices", "templates", "monitoring", "config", "keys",
        "users", "preferences", "explain",
    ],
)  # fmt: skip
def test_every_command_explains_itself(command: str, run: Run) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "--help" in out


def test_a_command_that_does_not_exist_is_wrong_usage(run: Run) -> None:
    assert run("sned")[0] == 2


def test_send_prints_the_id_and_says_when_it_is_known(gateway: SmallGateway, run: Run) -> None:
    first = run("send", "--app", APP, "--user", "u1", "--title", "Hello", "--key", "k")
    again = run("send", "--app", APP, "--user", "u1", "--title", "Hello", "--key", "k", "--json")
    notification_id = gateway.deliveries.accepted["k"][0]
    assert first == (0, f"{notification_id} accepted\n", "")
    assert json.loads(again[1]) == {"notification_id": notification_id, "duplicate": True}


def test_send_fills_the_notification_from_its_options(gateway: SmallGateway, run: Run) -> None:
    words = ["--class", "security", "--body", "新设备登录", "--data", "a=1", "--data", "b=2=3", "--ttl", "60"]
    assert run("send", "--app", APP, "--apns-token", TOKEN, "--key", "k", *words)[0] == 0
    taken = gateway.deliveries.taken["k"]
    assert (taken.content.body, dict(taken.content.data)) == ("新设备登录", {"a": "1", "b": "2=3"})
    assert (taken.notification_class, taken.ttl.seconds, taken.devices[0].token) == (1, 60, TOKEN)


@pytest.mark.parametrize(
    "words",
    [
        ("--app", APP),
        ("--app", APP, "--apns-token", TOKEN, "--fcm-token", "x"),
        ("--app", APP, "--user", "u", "--data", "nothing"),
        ("--user", "u"),
        ("--app", APP, "--user", "u", "--class", "urgent"),
        ("--app", APP, "--user", "u", "--template", "t", "--title", "Hello"),
    ],
)
def test_send_without_a_clear_recipient_or_value_is_wrong_usage(words: tuple[str, ...], run: Run) -> None:
    assert run("send", *words)[0] == 2


def test_send_with_wait_fails_while_nothing_is_delivered(gateway: SmallGateway, run: Run) -> None:
    code, out, _ = run("send", "--app", APP, "--user", "u1", "--title", "Hello", "--wait", "--wait-s", "0")
    assert code == 1
    assert "is accepted, accepted at" in out


def test_what_the_gateway_refuses_names_the_field(gateway: SmallGateway, run: Run) -> None:
    code, _, err = run("send", "--app", "nix", "--user", "u1", "--title", "Hello")
    assert (code, err) == (5, "walletpush: refused:\n  app: unknown app\n")


def test_a_key_that_is_not_known_is_refused_with_a_hint(gateway: SmallGateway, run: Run) -> None:
    gateway.deliveries.abort_next = [PermissionDenied("pay", "send")]
    code, _, err = run("send", "--app", APP, "--user", "u1", "--title", "Hello")
    assert code == 5
    assert "--key-file" in err


def test_the_port_of_the_pages_is_told_from_that_of_grpc(run: Run) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as pages:
        thread = threading.Thread(target=pages.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        code, _, err = run("receipts", "someone", "--address", f"127.0.0.1:{pages.server_port}")
        pages.shutdown()
        thread.join()
    assert code == 4
    assert "answers in HTTP, not gRPC" in err


def test_nobody_there_is_said_in_a_sentence(run: Run) -> None:
    code, _, err = run("receipts", "someone", "--address", "127.0.0.1:1")
    assert code == 4
    assert err.startswith("walletpush: nobody answers at 127.0.0.1:1.")


def test_a_gateway_that_drains_is_said_with_its_reason(gateway: SmallGateway, run: Run) -> None:
    gateway.deliveries.abort_next = [Unavailable("draining")] * 10
    code, _, err = run("receipts", "someone")
    assert code == 4
    assert "draining" in err


def test_plain_text_to_another_host_needs_insecure(run: Run) -> None:
    code, _, err = run("receipts", "someone", "--address", "192.0.2.1:1")
    assert code == 3
    assert "192.0.2.1:1 is not on this host" in err


def test_the_key_is_read_from_its_file(gateway: SmallGateway, run: Run, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("wp_secret\n")
    assert run("send", "--app", APP, "--user", "u", "--title", "x", "--key-file", str(tmp_path / "key"))[0] == 0
    assert gateway.deliveries.authorization == ["Bearer wp_secret"]
    code, _, err = run("send", "--app", APP, "--user", "u", "--key-file", str(tmp_path / "none"))
    assert (code, "No such file" in err) == (3, True)


def with_receipts(deliveries: Deliveries) -> None:
    for place in range(3):
        receipt = Receipt(
            notification_id=f"n{place}", state=DeliveryState.DELIVERY_STATE_FAILED, reason="Unregistered", attempts=2
        )
        receipt.time.FromMilliseconds(1_700_000_000_000 + place)
        deliveries.receipts.append(receipt)


def test_receipts_are_lines_and_the_cursor_goes_on(gateway: SmallGateway, run: Run) -> None:
    with_receipts(gateway.deliveries)
    code, out, err = run("receipts", "--from", "begin", "--no-follow")
    assert (code, err) == (0, "cursor: 3\n")
    assert out.splitlines()[0] == (
        "2023-11-14T22:13:20Z n0 failed     -    ---------------- Unregistered attempts=2"
    )
    code, out, _ = run("receipts", "--from", "2", "--no-follow", "--json")
    assert [json.loads(line)["notification_id"] for line in out.splitlines()] == ["n2"]


def test_one_receipt_that_is_unknown_is_refused(gateway: SmallGateway, run: Run) -> None:
    assert run("receipts", "unknown") == (5, "", "walletpush: refused: no such notification\n")


def test_devices_are_registered_listed_and_unregistered(gateway: SmallGateway, run: Run) -> None:
    device = ("--app", APP, "--apns-token", TOKEN)
    assert run("devices", "register", *device, "--user", "u1", "--locale", "zh-CN", "--sandbox")[0] == 0
    _, out, _ = run("devices", "list", "--app", APP, "--user", "u1", "--json")
    assert json.loads(out)["locale"] == "zh-CN"
    assert "apns sandbox" in run("devices", "list", "--app", APP, "--user", "u1")[1]
    assert run("devices", "unregister", *device)[:2] == (0, "removed\n")
    assert run("devices", "unregister", *device)[:2] == (0, "it was not registered\n")
    assert run("devices", "list", "--app", APP, "--user", "u1")[:2] == (0, "u1 has no devices\n")
    assert run("devices", "register", "--app", "nix", "--user", "u1", "--fcm-token", "t")[0] == 5


def test_settings_are_checked_and_shown_and_the_example_is_good(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "walletpush.toml"
    path.write_text(run("config", "example")[1])
    assert path.read_text() == example_toml()
    code, out, _ = run("config", "check", "--config", str(path))
    assert (code, "is good: apps 0" in out) == (0, True)
    assert "[server]" in run("config", "show", "--config", str(path))[1]


def test_wrong_settings_are_all_named(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "walletpush.toml"
    path.write_text('[server]\nlisten = "0.0.0.0:50051"\nworkrs = 2\n[dedup]\nwindow_s = 0\n')
    for command in (("config", "check"), ("config", "show"), ("serve",)):
        code, _, err = run(*command, "--config", str(path))
        assert code == 3
        assert "unknown key server.workrs, did you mean server.workers?" in err
        assert "dedup.window_s" in err


def test_a_settings_file_that_is_not_there_is_said(run: Run, tmp_path: Path) -> None:
    code, _, err = run("serve", "--config", str(tmp_path / "none.toml"))
    assert (code, "none.toml cannot be used" in err) == (3, True)


def test_a_new_key_comes_with_the_hash_that_the_settings_keep(run: Run) -> None:
    code, out, err = run("keys", "new", "--name", "billing")
    key, *settings = out.splitlines()
    assert code == 0
    assert key.startswith("wp_")
    assert f'key_sha256 = ["{hash_key(key)}"]' in settings
    assert 'name = "billing"' in settings
    assert key not in err


def test_wrong_faults_of_the_simulators_are_named(run: Run, tmp_path: Path) -> None:
    code, _, err = run("simulate", str(tmp_path), "--faults", '{"rate_503": 2, "latncy": 1}')
    assert code == 3
    assert "rate_503" in err
    assert "latncy" in err


def test_simulators_start_say_where_and_end_at_ctrl_c(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "gateway", "simulate", str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ports = json.loads(process.stdout.readline())
        assert ports["apns"] > 0
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()
