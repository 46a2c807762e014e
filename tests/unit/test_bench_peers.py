"""What the bench tells its peers: settings, requests, commands; and what it makes of their answers."""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

import orjson
import pytest

from adapters.simulators.credentials import KEY_ID, TEAM_ID, TOPIC, SimulatorCredentials
from bench.peers import gorush, node_apn, sygnal
from bench.peers.__main__ import InstallationFailed, install, main
from bench.peers.catalogue import PEERS, UnknownPeer, find
from bench.peers.go_apns2 import GoApns2
from bench.peers.gorush import Gorush
from bench.peers.node_apn import NodeApn
from bench.peers.peer import Command, NotInstalled, Peer, home
from bench.peers.sygnal import Sygnal
from bench.under_test import pushes

KEYS = SimulatorCredentials(Path("/somewhere"))
PROXY = "http://127.0.0.1:4"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "walletpush-bench" / "peers"


def test_peers_are_found_by_their_names() -> None:
    assert [find(peer.name) for peer in PEERS] == list(PEERS)
    with pytest.raises(UnknownPeer, match="gorush, sygnal, node-apn, go-apns2"):
        find("pushy")


@pytest.mark.parametrize("peer", [Sygnal(), NodeApn(), GoApns2()], ids=lambda peer: peer.name)
def test_peer_in_an_empty_cache_is_not_installed(peer: Peer) -> None:
    with pytest.raises(NotInstalled, match=f"bench.peers install {peer.name}"):
        peer.version()


def test_gorush_is_told_the_key_the_proxy_and_a_queue_that_holds_all() -> None:
    told = orjson.loads(gorush.settings(81, PROXY, KEYS))
    assert told["core"]["port"] == "81"
    assert told["core"]["http_proxy"] == PROXY
    assert told["core"]["queue_num"] >= 10 * Gorush().enough
    assert told["core"]["max_notification"] == Gorush().batch
    assert told["ios"]["key_path"] == str(KEYS.apns_key)
    assert (told["ios"]["key_id"], told["ios"]["team_id"], told["ios"]["production"]) == (KEY_ID, TEAM_ID, True)


def test_gorush_is_asked_for_one_notification_for_each_device() -> None:
    first, second = pushes(2, "run")
    asked = orjson.loads(gorush.request([first, second]))["notifications"]
    assert [one["tokens"] for one in asked] == [[first.token], [second.token]]
    assert asked[1] == {
        "tokens": [second.token], "platform": 1, "title": second.title, "message": second.body, "topic": TOPIC,
    }  # fmt: skip


def test_gorush_answers_yes_only_without_logs() -> None:
    assert gorush.complaint(b'{"counts":2,"logs":[],"success":"ok"}') == ""
    assert gorush.complaint(b'{"counts":2,"logs":null,"success":"ok"}') == ""
    assert gorush.complaint(b'{"counts":2,"logs":[{"error":"max capacity reached"}],"success":"ok"}') == "1 failed"
    assert "over limit" in gorush.complaint(b'{"code":400,"message":"Number of notifications(2) over limit(1)"}')


def test_sygnal_is_told_the_key_and_the_proxy() -> None:
    told = orjson.loads(sygnal.settings(81, PROXY, KEYS))
    assert told["proxy"] == PROXY
    assert told["http"] == {"port": 81, "bind_addresses": ["127.0.0.1"]}
    app = told["apps"][TOPIC]
    assert (app["keyfile"], app["key_id"], app["team_id"], app["topic"]) == (str(KEYS.apns_key), KEY_ID, TEAM_ID, TOPIC)
    assert app["inflight_request_limit"] >= Sygnal().in_flight


def test_sygnal_is_asked_for_one_event_with_a_payload_for_each_device() -> None:
    first, second = pushes(2, "run")
    asked = orjson.loads(sygnal.request([first, second]))["notification"]
    assert "type" not in asked
    assert [base64.b64decode(one["pushkey"]).hex() for one in asked["devices"]] == [first.token, second.token]
    payload = asked["devices"][1]["data"]["default_payload"]
    assert payload == {"aps": {"alert": {"title": second.title, "body": second.body}}}


def test_sygnal_answers_no_with_the_devices_that_it_rejected() -> None:
    assert sygnal.complaint(b'{"rejected":[]}') == ""
    assert sygnal.complaint(b'{"rejected":["a","b"]}') == "2 rejected"


def test_a_peers_process_knows_no_proxy_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://elsewhere")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("KEPT", "yes")
    variables = Command(("true",), {"MORE": "1"}).variables()
    assert {"HTTPS_PROXY", "no_proxy"}.isdisjoint(variables)
    assert (variables["KEPT"], variables["MORE"], variables["PATH"]) == ("yes", "1", os.environ["PATH"])


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_installation_leaves_everything_below_the_peers_home(peer: Peer, cache: Path) -> None:
    assert home(peer.name) == cache / peer.name
    told = [*(word for command in peer.installation() for word in command.words)]
    told += [value for command in peer.installation() for value in command.environment.values()]
    assert any(word.startswith(str(cache / peer.name)) for word in told)
    written = [word for word in told if word.startswith("/") and not Path(word).exists()]
    assert all(word.startswith(str(cache / peer.name)) for word in written)


def test_versions_that_are_measured_are_pinned_where_they_are_known() -> None:
    (npm,) = NodeApn().installation()
    assert npm.words[-1] == f"@parse/node-apn@{node_apn.VERSION}"
    assert any("github.com/sideshow/apns2@v0.25.0" in command.words for command in GoApns2().installation())


class _Failing(NodeApn):
    def installation(self) -> tuple[Command, ...]:
        words = (sys.executable, "-c", "import sys; sys.exit('the registry says no')")
        return (Command(words), Command(("false",)))


def test_installation_that_fails_says_what_its_command_said() -> None:
    with pytest.raises(InstallationFailed, match="the registry says no"):
        install(_Failing())


def test_list_shows_every_peer_and_that_none_is_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(peer.name in shown for peer in PEERS)
    assert shown.count("not installed") == len(PEERS)
