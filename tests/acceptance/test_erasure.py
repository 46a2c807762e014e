"""After an erasure nothing of the user is in any file, and what others have is whole."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from adapters.hotstate.shared_file import shared_directory
from gateway.secret import load_secret
from protos.walletpush.v1 import device_pb2, notification_pb2, preference_pb2, privacy_pb2, receipt_pb2, user_pb2
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub
from protos.walletpush.v1.privacy_pb2_grpc import PrivacyServiceStub
from tests.acceptance.gateway_process import Gateway
from tests.acceptance.messages import (
    TIMEOUT_S,
    apns_device,
    apns_token,
    await_that,
    error_of,
    fcm_device,
    final,
    receipt_of,
    send,
)
from tests.acceptance.test_policy import Wallet, wallet_of, zone_where_it_is
from tests.acceptance.traces import files_of, traces

ACCEPTED = receipt_pb2.NOTIFICATION_STATE_ACCEPTED
SCHEDULED = receipt_pb2.NOTIFICATION_STATE_SCHEDULED
DELIVERED = receipt_pb2.NOTIFICATION_STATE_DELIVERED
CANCELLED = receipt_pb2.NOTIFICATION_STATE_CANCELLED
SUPPRESSED = receipt_pb2.NOTIFICATION_STATE_SUPPRESSED
TRANSACTIONAL = notification_pb2.NOTIFICATION_CLASS_TRANSACTIONAL
MARKETING = notification_pb2.NOTIFICATION_CLASS_MARKETING
# Calls that go to all of them reach both workers.
CONNECTIONS = 8
ERASING_S = 60.0
# Long enough for the erasure to be done by then, on a machine that does other things too.
DUE_S = 20.0


@dataclass(frozen=True, slots=True)
class Person:
    """A user, and every text that names them."""

    user_id: str = field(default_factory=lambda: f"lin-wei-{uuid.uuid4().hex[:12]}")
    phone: str = field(default_factory=lambda: f"+86139{uuid.uuid4().int % 10**8:08}")

    @property
    def greeting(self) -> str:
        """What messages to nobody else say."""
        return f"Dear Lin of {self.phone[-8:]}"

    def texts(self) -> list[str]:
        """Everything that must not be found afterwards."""
        return [
            self.user_id, self.phone, f"{self.user_id}@example.com", f"crm-{self.user_id}", self.greeting,
            apns_token(self.user_id), fcm_device(self.user_id).token,
        ]  # fmt: skip

    def register(self, wallet: Wallet) -> None:
        """Make the user: three in the night, with two devices, consents and quiet hours."""
        user = user_pb2.User(
            app="wallet", user_id=self.user_id, locale="en", time_zone=zone_where_it_is(3), phone=self.phone,
            email=f"{self.user_id}@example.com", birthday="1990-02-28", external_ids={"crm": f"crm-{self.user_id}"},
            last_open_time=Timestamp(seconds=int(time.time()) - 60),
        )  # fmt: skip
        user.attributes["nickname"].text = self.greeting
        wallet.users.UpsertUser(user_pb2.UpsertUserRequest(user=user), timeout=TIMEOUT_S)
        for token in (apns_device(self.user_id), fcm_device(self.user_id)):
            device = device_pb2.Device(app="wallet", user_id=self.user_id, token=token)
            wallet.devices.RegisterDevice(device_pb2.RegisterDeviceRequest(device=device), timeout=TIMEOUT_S)
        for granted in (True, False, True):
            wallet.says(self.user_id, "promotion", granted=granted)
        suppression = preference_pb2.Suppression(category="survey", reason="asked by letter")
        request = preference_pb2.AddSuppressionRequest(app="wallet", user_id=self.user_id, suppression=suppression)
        wallet.preferences.AddSuppression(request, timeout=TIMEOUT_S)


@dataclass(slots=True)
class Sent:
    """Ids of what was sent, by what is to become of it."""

    ended: list[str] = field(default_factory=list)
    shared: list[str] = field(default_factory=list)
    to_cancel: list[str] = field(default_factory=list)
    waiting_for_other: list[str] = field(default_factory=list)
    due_for_other: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def notice(
    text: str, users: Sequence[str] = (), devices: Sequence[notification_pb2.DeviceToken] = (),
    klass: notification_pb2.NotificationClass = TRANSACTIONAL, key: str = "",
) -> notification_pb2.Notification:  # fmt: skip
    return notification_pb2.Notification(
        idempotency_key=key or uuid.uuid4().hex, app="wallet", user_ids=users, devices=devices,
        notification_class=klass, content=notification_pb2.Content(title=text, body=f"{text}: see the app"),
    )  # fmt: skip


def later(notification: notification_pb2.Notification, seconds: float) -> notification_pb2.Notification:
    notification.send_at.FromNanoseconds(time.time_ns() + int(seconds * 1e9))
    return notification


def send_all(stub: DeliveryServiceStub, me: Person, other: str, due_s: float) -> Sent:
    """Send everything that may name a user, through one connection."""
    sent, id_ = Sent(), me.user_id

    def told(notification: notification_pb2.Notification) -> str:
        return send(stub, notification).notification_id

    sent.ended.append(told(notice(me.greeting, [id_], key=f"for-{id_}-{uuid.uuid4().hex[:6]}")))
    sent.ended.append(told(notice(me.greeting, devices=[apns_device(id_)])))
    sent.shared.append(told(notice("Maintenance", [id_, other])))
    sent.to_cancel.append(told(notice(me.greeting, [id_], klass=MARKETING)))
    sent.to_cancel.append(told(later(notice(me.greeting, [id_]), 3_600)))
    sent.to_cancel.append(told(later(notice(me.greeting, devices=[fcm_device(id_)]), 3_600)))
    sent.waiting_for_other.append(told(notice("Coffee", [id_, other], klass=MARKETING)))
    sent.due_for_other.append(
        told(later(notice("Due", [other, id_], [apns_device(id_)], key=f"to-{id_}-{uuid.uuid4().hex[:6]}"), due_s))
    )
    sent.others.append(told(later(notice("Rent", [other]), 3_600)))
    return sent


def links(gateway: Gateway, me: Person) -> list[str]:
    """Return the files in which a keyed hash of the user or a device would let the gateway itself find them again."""
    data = gateway.directory / "data"
    secret = load_secret(data)
    devices, policy = secret.derive("devices"), secret.derive("policy")
    of_users, of_devices = policy.derive("cap user of wallet"), policy.derive("cap device of wallet")
    tokens = {1: apns_token(me.user_id), 2: fcm_device(me.user_id).token}
    keys = [devices.hash64(f"user\0{me.user_id}"), of_users.hash64(me.user_id)]
    keys += [devices.hash64(token) for token in tokens.values()]
    keys += [of_devices.hash64(f"{provider}:{token}") for provider, token in tokens.items()]
    needles = [key.to_bytes(8, "little") for key in keys]
    files = files_of(data, shared_directory(data))
    return [path.name for path in files if not path.is_socket() and any(one in path.read_bytes() for one in needles)]


@contextlib.contextmanager
def connections(gateway: Gateway) -> Iterator[list[grpc.Channel]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(gateway.channel()) for _ in range(CONNECTIONS)]


def privacy_of(channel: grpc.Channel) -> PrivacyServiceStub:
    return PrivacyServiceStub(channel)  # type: ignore[no-untyped-call]


def erase(channel: grpc.Channel, user_id: str) -> privacy_pb2.Erasure:
    request = privacy_pb2.EraseUserRequest(app="wallet", user_id=user_id, reason="asked by letter 7")
    answer: privacy_pb2.EraseUserResponse = privacy_of(channel).EraseUser(request, timeout=ERASING_S)
    return answer.erasure


def proof_of(channel: grpc.Channel, user_id: str) -> privacy_pb2.Erasure | None:
    request = privacy_pb2.GetErasureRequest(app="wallet", user_id=user_id)
    try:
        answer: privacy_pb2.GetErasureResponse = privacy_of(channel).GetErasure(request, timeout=TIMEOUT_S)
    except grpc.RpcError:
        return None
    return answer.erasure


def places(gateway: Gateway) -> list[Path]:
    data = gateway.directory / "data"
    return [*files_of(data, shared_directory(data)), gateway.directory / "gateway.log"]


def make_other(wallet: Wallet) -> str:
    return wallet.user(local_hour=3)


@pytest.fixture
def two_workers(own_gateway: Callable[..., Gateway]) -> Gateway:
    gateway = own_gateway(workers=2)
    gateway.start()
    return gateway


def test_an_erased_user_is_in_no_file_and_others_are_whole(two_workers: Gateway) -> None:
    me, gateway = Person(), two_workers
    with connections(gateway) as channels:
        wallet = wallet_of(channels[0])
        other = make_other(wallet)
        me.register(wallet)
        due = time.time() + DUE_S
        all_sent = [send_all(DeliveryServiceStub(one), me, other, due - time.time()) for one in channels]  # type: ignore[no-untyped-call]
        stub = wallet.delivery
        for sent in all_sent:
            for one in sent.ended + sent.shared:
                assert final(stub, one).state == DELIVERED
        shared_before = [receipt_of(stub, one) for sent in all_sent for one in sent.shared]
        assert traces(places(gateway), [me.user_id, me.greeting]), "the search finds what is there"
        assert any(name.startswith("journal-") for name in links(gateway, me)), "the search finds what is there"

        proof = erase(channels[1], me.user_id)
        done = time.time()
        assert traces(places(gateway), me.texts()) == []
        assert links(gateway, me) == []
        assert len(proof.subject_hash) == 32
        assert proof.removed_counts["people.users"] == 1
        assert proof.removed_counts["people.consents"] == 3
        assert proof.removed_counts["registry.devices"] == 2
        assert proof.removed_counts["deliveries"] >= 4 * CONNECTIONS
        assert proof_of(channels[2], me.user_id) == proof
        assert proof_of(channels[2], other) is None
        assert erase(channels[3], me.user_id) == proof, "nothing was left"
        for sent in all_sent:
            assert [final(stub, one).state for one in sent.to_cancel] == [CANCELLED] * 3
            assert [receipt_of(stub, one).state for one in sent.waiting_for_other] == [ACCEPTED]
            assert [receipt_of(stub, one).state for one in sent.others] == [SCHEDULED]
        shared_after = [receipt_of(stub, one) for sent in all_sent for one in sent.shared]
        assert [known(one) for one in shared_after] == [known(one) for one in shared_before]
        if done < due:
            for one in (one for sent in all_sent for one in sent.due_for_other):
                receipt = final(stub, one, wait_s=DUE_S + 15.0)
                assert (receipt.state, len(receipt.deliveries)) == (DELIVERED, 1), "the other user, and them alone"
    gateway.stop()
    assert traces(places(gateway), me.texts()) == []
    assert links(gateway, me) == []
    gateway.start()
    with gateway.channel() as channel:
        stub = wallet_of(channel).delivery
        for sent in all_sent:
            assert [receipt_of(stub, one).state for one in sent.waiting_for_other] == [ACCEPTED]
            assert [receipt_of(stub, one).state for one in sent.others] == [SCHEDULED]
            assert [receipt_of(stub, one).state for one in sent.ended + sent.shared] == [DELIVERED] * 3
        assert proof_of(channel, me.user_id) == proof
        assert traces(places(gateway), me.texts()) == []


def known(receipt: receipt_pb2.NotificationReceipt) -> list[tuple[int, str, int]]:
    """What a receipt tells beside the devices that it is about."""
    return [(one.state, one.reason, one.time.ToMilliseconds()) for one in receipt.deliveries]


def test_a_user_who_comes_back_is_a_new_one(two_workers: Gateway) -> None:
    me = Person()
    with two_workers.channel() as channel:
        wallet = wallet_of(channel)
        me.register(wallet)
        first = erase(channel, me.user_id)
        request = user_pb2.GetUserRequest(app="wallet", user_id=me.user_id)
        error = error_of(lambda: wallet.users.GetUser(request, timeout=TIMEOUT_S))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        me.register(wallet)
        history = wallet.preferences.ListConsentHistory(
            preference_pb2.ListConsentHistoryRequest(app="wallet", user_id=me.user_id), timeout=TIMEOUT_S
        )
        assert len(history.consents) == 3
        assert proof_of(channel, me.user_id) == first
        second = erase(channel, me.user_id)
        assert second != first
        assert second.subject_hash == first.subject_hash
        assert proof_of(channel, me.user_id) == second


def test_an_erasure_that_was_killed_in_the_middle_is_finished_by_the_next_start(two_workers: Gateway) -> None:
    me, gateway = Person(), two_workers
    with connections(gateway) as channels, ThreadPoolExecutor(CONNECTIONS) as threads:
        wallet = wallet_of(channels[0])
        other = make_other(wallet)
        me.register(wallet)
        all_sent = [send_all(DeliveryServiceStub(one), me, other, 3_600) for one in channels]  # type: ignore[no-untyped-call]
        for sent in all_sent:
            for one in sent.ended + sent.shared:
                assert final(wallet.delivery, one).state == DELIVERED
        # Whichever calls come to the other worker reach its sibling no more, and wait there.
        stopped = next(one for one in gateway.worker_processes() if "1" in one.cmdline())
        stopped.send_signal(signal.SIGSTOP)
        calls = [threads.submit(error_of, lambda one=one: erase(one, me.user_id)) for one in channels]  # type: ignore[misc]
        await_that(lambda: step_of(gateway), lambda step: "registry.devices" in step, 30.0)
        assert traces(places(gateway), [me.user_id]), "the other worker's journal still names the user"
        gateway.kill()
        for call in calls:
            assert call.result(30).code() is grpc.StatusCode.UNAVAILABLE
    gateway.start()
    with gateway.channel() as channel:
        proof = await_that(lambda: proof_of(channel, me.user_id), lambda found: found is not None, 40.0)
        assert proof is not None
        assert proof.removed_counts["people.users"] == 1
        assert proof.removed_counts["registry.devices"] == 2
        await_that(lambda: step_of(gateway), lambda step: step == "", 10.0)
        assert traces(places(gateway), me.texts()) == []
        stub = wallet_of(channel).delivery
        for sent in all_sent:
            promotion, *scheduled = (final(stub, one).state for one in sent.to_cancel)
            # The start may have found it before the erasure did, and nobody who consented to it.
            assert promotion in {CANCELLED, SUPPRESSED}
            assert scheduled == [CANCELLED] * 2
            assert [receipt_of(stub, one).state for one in sent.waiting_for_other] == [ACCEPTED]
            assert [receipt_of(stub, one).state for one in sent.others + sent.due_for_other] == [SCHEDULED] * 2


def step_of(gateway: Gateway) -> str:
    """Return what an erasure under way has counted, or nothing."""
    path = gateway.directory / "data" / "erasures.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT removed_counts FROM under_way").fetchall()
    return rows[0][0] if rows else ""
