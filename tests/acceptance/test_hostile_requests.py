"""Malformed and hostile requests each get their documented error, and the same server goes on as before."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator

import grpc
import psutil
import pytest

from core.notification_id import format_id, make_id
from gateway.cursor import Position, format_cursor
from protos.walletpush.v1 import delivery_pb2, device_pb2, notification_pb2, receipt_pb2
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub
from protos.walletpush.v1.device_pb2_grpc import DeviceServiceStub
from tests.acceptance.gateway_process import FAST, Gateway, app_toml
from tests.acceptance.hostile import DEVICES, NOTIFICATIONS, EditDevice, Wrong
from tests.acceptance.messages import (
    TIMEOUT_S,
    apns_device,
    await_that,
    error_of,
    fields_of,
    final,
    payment,
    receipt_of,
    send,
    status_of,
)
from tests.acceptance.simulators import Simulators

INVALID = grpc.StatusCode.INVALID_ARGUMENT
KEY = (("authorization", "Bearer wp_hostile"),)
MAX_GROWTH = 50 << 20
SERVICE = "/walletpush.v1.DeliveryService/"


class ShowsKey(grpc.AuthMetadataPlugin):
    """Shows the key with every call; gRPC asks it on secure channels only, and loopback counts as one."""

    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        callback(KEY, None)


@pytest.fixture(scope="module")
def target(simulators: Simulators, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    digest = hashlib.sha256(b"wp_hostile").hexdigest()
    caller = f'[[callers]]\nname = "hostile"\nkey_sha256 = ["{digest}"]\napps = ["*"]\nmay_manage_devices = true\n'
    # Pages of the shared window count as the worker's once touched; a small one is known whole before it is measured.
    settings = f"{app_toml(simulators)}{FAST}{caller}[dedup]\ncapacity = 131072\n"
    running = Gateway(tmp_path_factory.mktemp("hostile"), settings)
    running.start()
    yield running
    running.end()


@contextlib.contextmanager
def keyed(gateway: Gateway) -> Iterator[grpc.Channel]:
    credentials = grpc.composite_channel_credentials(
        grpc.local_channel_credentials(), grpc.metadata_call_credentials(ShowsKey())
    )
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", 64 << 20))
    with grpc.secure_channel(gateway.address, credentials, options=options) as opened:
        yield opened


@pytest.fixture(scope="module")
def channel(target: Gateway) -> Iterator[grpc.Channel]:
    with keyed(target) as opened:
        yield opened


@pytest.fixture(scope="module")
def delivery(channel: grpc.Channel) -> DeliveryServiceStub:
    return DeliveryServiceStub(channel)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def worker(target: Gateway, delivery: DeliveryServiceStub) -> psutil.Process:
    """The one worker, after ordinary work, the largest that is allowed among it, and before anything hostile."""
    for _ in range(5):
        batch = delivery_pb2.SendBatchRequest(notifications=[payment() for _ in range(1_000)])
        results = delivery.SendBatch(batch, timeout=TIMEOUT_S).results
        final(delivery, results[-1].notification_id)
    campaign = payment()
    campaign.devices.extend(apns_device(f"warm-{i}") for i in range(9_999))
    final(delivery, send(delivery, campaign).notification_id, 40.0)
    (found,) = target.worker_processes()
    return found


@pytest.fixture(scope="module")
def memory_before(worker: psutil.Process) -> int:
    return int(worker.memory_info().rss)


@pytest.fixture(scope="module", autouse=True)
def same_server(worker: psutil.Process, memory_before: int, target: Gateway) -> Iterator[None]:
    """Whatever the module did, the process that began it is there at its end."""
    yield
    assert [one.pid for one in target.worker_processes()] == [worker.pid]


@pytest.mark.parametrize("wrong", NOTIFICATIONS, ids=lambda wrong: wrong.name)
def test_a_malformed_notification_is_refused_by_its_field(delivery: DeliveryServiceStub, wrong: Wrong) -> None:
    notification = payment()
    wrong.edit(notification)
    error = error_of(lambda: send(delivery, notification))
    assert (error.code(), fields_of(status_of(error))) == (INVALID, [wrong.field])


def test_malformed_notifications_of_one_batch_are_refused_each_for_itself(delivery: DeliveryServiceStub) -> None:
    # The very large ones stay out: together they would exceed the limit of a request.
    wrongs = [wrong for wrong in NOTIFICATIONS if "0,00" not in wrong.name and "mega" not in wrong.name]
    request = delivery_pb2.SendBatchRequest()
    for wrong in wrongs:
        notification = payment()
        wrong.edit(notification)
        request.notifications.extend([notification, payment()])
    results = delivery.SendBatch(request, timeout=TIMEOUT_S).results
    assert [fields_of(result.error) for result in results[::2]] == [[wrong.field] for wrong in wrongs]
    assert {result.status for result in results[1::2]} == {delivery_pb2.SEND_STATUS_ACCEPTED}


@pytest.mark.parametrize(("field", "edit"), [row[1:] for row in DEVICES], ids=[row[0] for row in DEVICES])
def test_a_malformed_device_is_refused_by_its_field(channel: grpc.Channel, field: str, edit: EditDevice) -> None:
    device = device_pb2.Device(app="wallet", user_id="lin", token=apns_device("lin"))
    request = device_pb2.RegisterDeviceRequest(device=device)
    edit(request)
    stub = DeviceServiceStub(channel)  # type: ignore[no-untyped-call]
    error = error_of(lambda: stub.RegisterDevice(request, timeout=TIMEOUT_S))
    assert (error.code(), fields_of(status_of(error))) == (INVALID, [field])


def test_listing_and_removing_devices_checks_its_fields_too(channel: grpc.Channel) -> None:
    stub = DeviceServiceStub(channel)  # type: ignore[no-untyped-call]
    no_user = error_of(lambda: stub.ListDevices(device_pb2.ListDevicesRequest(app="wallet"), timeout=TIMEOUT_S))
    no_app = error_of(lambda: stub.UnregisterDevice(device_pb2.UnregisterDeviceRequest(), timeout=TIMEOUT_S))
    assert [fields_of(status_of(error)) for error in (no_user, no_app)] == [["user_id"], ["app"]]


def raw(channel: grpc.Channel, method: str) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)


GOOD = delivery_pb2.SendRequest(notification=payment()).SerializeToString()
BAD_UTF8 = b"\x0a\x04\x0a\x02\xff\xfe"


@pytest.mark.parametrize(("request_bytes", "code"), [
    (GOOD[:-3], INVALID),
    (GOOD[: len(GOOD) // 2], INVALID),
    (b"\xff" * 64, INVALID),
    (b"\x0a\xff\xff\xff\xff\x0f", INVALID),
    (b"\x0b" * 2_000, INVALID),
    (BAD_UTF8, INVALID),
    (b"", INVALID),
    (b"\x0a\x00", INVALID),
    # Unknown fields alone: valid protobuf, an empty request.
    (b"\xfa\x7f\x03abc", INVALID),
    (b"\x0a\x80\x80\x80\x01" + b"\0" * (1 << 21), INVALID),
    (b"\0" * (17 << 20), grpc.StatusCode.RESOURCE_EXHAUSTED),
], ids=["cut", "half", "ones", "long length", "groups", "UTF-8", "empty", "empty message", "unknown fields", "zeros",
        "17 MiB"])  # fmt: skip
def test_bytes_that_are_no_request_are_refused(
    channel: grpc.Channel, request_bytes: bytes, code: grpc.StatusCode
) -> None:
    assert error_of(lambda: raw(channel, SERVICE + "Send")(request_bytes, timeout=TIMEOUT_S)).code() is code


@pytest.mark.parametrize("count", [0, 1_001, 5_000])
def test_a_batch_of_a_wrong_size_is_refused_whole(delivery: DeliveryServiceStub, count: int) -> None:
    request = delivery_pb2.SendBatchRequest(notifications=[payment()] * count)
    error = error_of(lambda: delivery.SendBatch(request, timeout=TIMEOUT_S))
    assert (error.code(), fields_of(status_of(error))) == (INVALID, ["notifications"])


@pytest.mark.parametrize("sequences", [
    [1, 3], [1, 1], [5, 4], [2**64 - 1, 0], [0, 2**63],
])  # fmt: skip
def test_a_stream_that_jumps_is_ended_after_what_was_right(
    delivery: DeliveryServiceStub, sequences: list[int]
) -> None:
    chunks = [delivery_pb2.SendStreamRequest(sequence=one, notifications=[payment()]) for one in sequences]
    answers = delivery.SendStream(iter(chunks), timeout=TIMEOUT_S)
    assert next(answers).sequence == sequences[0]
    error = error_of(lambda: next(answers))
    assert (error.code(), fields_of(status_of(error))) == (INVALID, ["sequence"])


@pytest.mark.parametrize("count", [0, 1_001])
def test_a_chunk_of_a_wrong_size_ends_its_stream(delivery: DeliveryServiceStub, count: int) -> None:
    chunk = delivery_pb2.SendStreamRequest(sequence=1, notifications=[payment()] * count)
    error = error_of(lambda: list(delivery.SendStream(iter([chunk] * 40), timeout=TIMEOUT_S)))
    assert (error.code(), fields_of(status_of(error))) == (INVALID, ["notifications"])


@pytest.mark.parametrize("cursor", [
    "x", "BEGIN", "=" * 40, "../../etc/passwd", "A" * 100_000, "début", "begin ", "AQ", "AgAA",
    format_cursor({0: Position(2**64 - 1)}), format_cursor({0: Position(2**63)}), format_cursor({0: Position(1)})[:-2],
])  # fmt: skip
def test_a_cursor_that_was_never_given_is_refused(delivery: DeliveryServiceStub, cursor: str) -> None:
    request = delivery_pb2.WatchReceiptsRequest(cursor=cursor, until_caught_up=True)
    error = error_of(lambda: list(delivery.WatchReceipts(request, timeout=TIMEOUT_S)))
    assert (error.code(), fields_of(status_of(error))) == (INVALID, ["cursor"])


def test_a_cursor_beyond_everything_tells_nothing(delivery: DeliveryServiceStub) -> None:
    cursor = format_cursor({number: Position(2**63 - 1, 2**32 - 1) for number in range(4_096)})
    request = delivery_pb2.WatchReceiptsRequest(cursor=cursor, until_caught_up=True)
    assert [a for a in delivery.WatchReceipts(request, timeout=TIMEOUT_S) if a.receipts] == []


@pytest.mark.parametrize("text", ["", "x", "0" * 36, "f" * 32, "g" * 36, "é" * 36, "1" * 100_000, "\0" * 16])
def test_a_text_that_is_no_id_is_refused(delivery: DeliveryServiceStub, text: str) -> None:
    cancel = delivery_pb2.CancelNotificationRequest(notification_id=text)
    errors = [
        error_of(lambda: receipt_of(delivery, text)),
        error_of(lambda: delivery.CancelNotification(cancel, timeout=TIMEOUT_S)),
    ]
    assert [(e.code(), fields_of(status_of(e))) for e in errors] == [(INVALID, ["notification_id"])] * 2


@pytest.mark.parametrize("ident", [
    make_id(1, 0, 1, 999), make_id(0, 0, 0, 0), make_id(2**47, 0, 2**40, 0), make_id(5, 3, 1, 0),
], ids=["other time", "zeros", "far segment", "no such worker"])  # fmt: skip
def test_an_id_of_nothing_is_not_found(delivery: DeliveryServiceStub, ident: bytes) -> None:
    assert error_of(lambda: receipt_of(delivery, format_id(ident))).code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("method", [
    "/walletpush.v1.DeliveryService/Nonsense", "/walletpush.v1.DeliveryService/", "/walletpush.v2.DeliveryService/Send",
    "/", "/../../etc/passwd", "/walletpush.internal.v1.WorkerService/Cancel", "/walletpush.v1.DeliveryService/send",
])  # fmt: skip
def test_a_method_that_is_not_there_is_unimplemented(channel: grpc.Channel, method: str) -> None:
    call = raw(channel, method)
    assert error_of(lambda: call(GOOD, timeout=TIMEOUT_S)).code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("metadata", [
    (("x-bomb", "b" * 64_000),),
    tuple((f"x-bomb-{i}", "b" * 200) for i in range(300)),
], ids=["one", "many"])  # fmt: skip
def test_a_metadata_bomb_is_refused(
    delivery: DeliveryServiceStub, metadata: tuple[tuple[str, str], ...]
) -> None:
    request = delivery_pb2.SendRequest(notification=payment())
    error = error_of(lambda: delivery.Send(request, metadata=metadata, timeout=TIMEOUT_S))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer ~", "bearer wp_hostile wp_hostile", "Digest x", "B" * 9_000])
def test_a_wrong_key_is_unauthenticated(target: Gateway, key: str) -> None:
    request = delivery_pb2.SendRequest(notification=payment())
    with target.delivery() as stub:
        error = error_of(lambda: stub.Send(request, metadata=(("authorization", key),), timeout=TIMEOUT_S))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"


@pytest.mark.parametrize("garbage", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /walletpush.v1.DeliveryService/Send HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n",
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\0" * 500,
    b"\0" * 65_536,
    bytes(range(256)) * 64,
    PREFACE + SETTINGS + b"\0\0\4\1\5\0\0\0\1\xff\xff\xff\xff",
    PREFACE + SETTINGS + b"\xff\xff\xff\0\0\0\0\0\1",
    PREFACE + SETTINGS + b"\0\0\5\0\0\0\0\0\1hello",
    PREFACE + SETTINGS + b"\0\0\4\x08\0\0\0\0\0\0\0\0\0",
    PREFACE + b"\0\0\6\4\0\0\0\0\0\0\4\xff\xff\xff\xff",
], ids=["HTTP/1 GET", "HTTP/1 POST", "TLS", "zeros", "bytes", "broken HPACK", "huge frame", "DATA first", "no window",
        "wrong setting"])  # fmt: skip
def test_garbage_on_the_port_costs_only_its_own_connection(target: Gateway, garbage: bytes) -> None:
    host, _, port = target.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection, contextlib.suppress(OSError):
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass


def test_silent_connections_hold_nobody_up(target: Gateway, delivery: DeliveryServiceStub) -> None:
    host, _, port = target.address.partition(":")
    with contextlib.ExitStack() as held:
        for i in range(200):
            connection = held.enter_context(socket.create_connection((host, int(port)), timeout=10))
            connection.sendall(PREFACE[: i % len(PREFACE)])
        assert final(delivery, send(delivery, payment()).notification_id)


def test_a_reader_that_never_reads_holds_nobody_up(target: Gateway, delivery: DeliveryServiceStub) -> None:
    released = threading.Event()
    with keyed(target) as opened:
        stub = DeliveryServiceStub(opened)  # type: ignore[no-untyped-call]
        answers = stub.SendStream(unread_chunks(released), timeout=30)
        watcher = stub.WatchReceipts(delivery_pb2.WatchReceiptsRequest(cursor="begin"), timeout=30)
        assert final(delivery, send(delivery, payment()).notification_id)
        released.set()
        answers.cancel()
        watcher.cancel()


def unread_chunks(released: threading.Event) -> Iterator[delivery_pb2.SendStreamRequest]:
    for sequence in range(100):
        yield delivery_pb2.SendStreamRequest(sequence=sequence, notifications=[payment() for _ in range(20)])
    released.wait(20)


def test_streams_that_are_abandoned_leave_nothing_behind(target: Gateway, delivery: DeliveryServiceStub) -> None:
    for _ in range(20):
        released = threading.Event()
        with keyed(target) as opened:
            stub = DeliveryServiceStub(opened)  # type: ignore[no-untyped-call]
            next(stub.SendStream(unread_chunks(released), timeout=30))
            released.set()
    assert final(delivery, send(delivery, payment()).notification_id)


def test_300_watchers_are_bounded(delivery: DeliveryServiceStub) -> None:
    watchers = [delivery.WatchReceipts(delivery_pb2.WatchReceiptsRequest(), timeout=30) for _ in range(300)]
    refused = await_that(
        lambda: [w for w in watchers if w.done() and w.code() is grpc.StatusCode.RESOURCE_EXHAUSTED],
        lambda found: len(found) == 44,
    )
    for watcher in watchers:
        watcher.cancel()
    assert len(refused) == 44
    again = delivery_pb2.WatchReceiptsRequest(until_caught_up=True)
    await_that(lambda: answered(lambda: list(delivery.WatchReceipts(again, timeout=TIMEOUT_S))), lambda ok: ok)


def answered(call: Callable[[], object]) -> bool:
    try:
        call()
    except grpc.RpcError:
        return False
    return True


def test_after_all_that_the_same_server_serves_and_has_not_grown(
    delivery: DeliveryServiceStub, worker: psutil.Process, memory_before: int, target: Gateway
) -> None:
    security = payment()
    security.notification_class = notification_pb2.NOTIFICATION_CLASS_SECURITY
    assert final(delivery, send(delivery, security).notification_id).state == receipt_pb2.NOTIFICATION_STATE_DELIVERED
    assert worker.is_running()
    assert worker.memory_info().rss - memory_before < MAX_GROWTH
    unexpected = [line for line in target.log().splitlines() if "_failed" in line or "never retrieved" in line]
    assert unexpected == []
