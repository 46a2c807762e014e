"""Links in messages on the whole way: made over gRPC, followed over HTTP, and heeded by every worker at once."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator

import grpc
import pytest

from protos.walletpush.v1 import preference_pb2, receipt_pb2
from protos.walletpush.v1.preference_pb2_grpc import PreferenceServiceStub
from tests.acceptance.gateway_process import Gateway
from tests.acceptance.messages import TIMEOUT_S, error_of, final, send
from tests.acceptance.test_policy import Wallet, promotion, reason_of, wallet_of
from tests.acceptance.test_user_files import walletpush

SUPPRESSED = receipt_pb2.NOTIFICATION_STATE_SUPPRESSED
DELIVERED = receipt_pb2.NOTIFICATION_STATE_DELIVERED


@pytest.fixture
def reachable(own_gateway: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    gateway = own_gateway(workers=2)
    monkeypatch.setenv("WALLETPUSH_WEB__PUBLIC_URL", f"http://{gateway.web}")
    gateway.start()
    yield gateway
    # The links' tokens are keys: no log may hold one.
    assert "/u/A" not in gateway.log()


def links(stub: PreferenceServiceStub, user: str, category: str = "") -> preference_pb2.CreatePreferenceLinksResponse:
    request = preference_pb2.CreatePreferenceLinksRequest(app="wallet", user_id=user, category=category)
    answer: preference_pb2.CreatePreferenceLinksResponse = stub.CreatePreferenceLinks(request, timeout=TIMEOUT_S)
    return answer


def post(url: str, fields: dict[str, str]) -> str:
    body = urllib.parse.urlencode(fields).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=20) as answer:
        assert answer.status == 200
        return str(answer.read().decode())


def test_who_unsubscribes_by_link_is_sent_nothing_more_and_who_returns_is_again(reachable: Gateway) -> None:
    with grpc.insecure_channel(reachable.address) as channel:
        wallet = wallet_of(channel)
        user = wallet.user(local_hour=12)
        assert [outcome(wallet, user) for _ in range(2)] == [(DELIVERED, "")] * 2
        made = links(wallet.preferences, user)
        assert made.expire_time.seconds > time.time() + 59 * 86_400
        assert user not in made.unsubscribe_url + made.preference_centre_url
        with urllib.request.urlopen(made.unsubscribe_url, timeout=20) as page:
            assert page.status == 200
        page_after = post(made.unsubscribe_url, {"List-Unsubscribe": "One-Click"})
        # Each on a connection of its own, so that both workers are asked.
        assert {outcome_apart(reachable, user) for _ in range(6)} == {(SUPPRESSED, "USER_ALL")}
        told = dict(re.findall(r'<input type="hidden" name="(restore|proof)" value="([^"]+)">', page_after))
        post(made.unsubscribe_url, {**told, "answer": "undo"})
        assert outcome_apart(reachable, user) == (DELIVERED, "")


def test_links_are_made_by_command(reachable: Gateway) -> None:
    words = ("preferences", "links", uuid.uuid4().hex, "--app", "wallet")
    code, out, err = walletpush(reachable, *words)
    assert (code, err) == (0, "")
    for url in re.findall(r"http\S+", out):
        with urllib.request.urlopen(url, timeout=20) as page:
            assert page.status == 200
    assert set(json.loads(walletpush(reachable, *words, "--json")[1])) >= {"unsubscribe_url", "preference_centre_url"}
    assert walletpush(reachable, *words, "--channel", "pigeon")[0] == 2


def test_without_a_public_address_no_links_are_made_and_no_pages_served(gateway: Gateway) -> None:
    with grpc.insecure_channel(gateway.address) as channel:
        stub = wallet_of(channel).preferences
        error = error_of(lambda: links(stub, uuid.uuid4().hex))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "no public address" in (error.details() or "")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        post(f"http://{gateway.web}/u/{'A' * 100}", {"List-Unsubscribe": "One-Click"})


def outcome(wallet: Wallet, user: str) -> tuple[int, str]:
    receipt = final(wallet.delivery, send(wallet.delivery, promotion(user)).notification_id)
    return receipt.state, reason_of(receipt)


def outcome_apart(gateway: Gateway, user: str) -> tuple[int, str]:
    with gateway.channel() as channel:
        return outcome(wallet_of(channel), user)
