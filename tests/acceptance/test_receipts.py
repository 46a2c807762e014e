"""Receipts as they come, from both workers and over a restart."""

from __future__ import annotations

from collections.abc import Callable, Generator

from adapters.simulators.faults import Faults
from protos.walletpush.v1 import delivery_pb2
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub
from tests.acceptance.gateway_process import Gateway
from tests.acceptance.messages import TIMEOUT_S, await_that, error_of, fields_of, final, payment, send, status_of
from tests.acceptance.simulators import Simulators


def caught_up(stub: DeliveryServiceStub, cursor: str, app: str = "") -> tuple[list[str], str]:
    """Return the ids of all receipts behind a cursor, and the cursor behind them."""
    request = delivery_pb2.WatchReceiptsRequest(cursor=cursor, app=app, until_caught_up=True)
    ids: list[str] = []
    for answer in stub.WatchReceipts(request, timeout=TIMEOUT_S):
        ids += [receipt.notification_id for receipt in answer.receipts]
        cursor = answer.cursor
    return ids, cursor


def send_many(gateway: Gateway, count: int) -> list[str]:
    """Send over several connections, so that both workers have some; return the ids once all ended."""
    ids = []
    for _ in range(4):
        with gateway.delivery() as stub:
            sent = [send(stub, payment()).notification_id for _ in range(count // 4)]
            for notification_id in sent:
                final(stub, notification_id)
            ids += sent
    return ids


def test_a_watcher_hears_of_all_workers_exactly_once(gateway: Gateway, delivery: DeliveryServiceStub) -> None:
    _, cursor = caught_up(delivery, "begin")
    sent = send_many(gateway, 40)
    heard, cursor = caught_up(delivery, cursor)
    assert sorted(heard) == sorted(sent)
    assert caught_up(delivery, cursor)[0] == []


def test_a_watcher_of_one_app_hears_nothing_of_another(gateway: Gateway, delivery: DeliveryServiceStub) -> None:
    _, cursor = caught_up(delivery, "begin")
    send_many(gateway, 4)
    assert caught_up(delivery, cursor, "outage")[0] == []
    assert len(caught_up(delivery, cursor, "wallet")[0]) == 4
    error = error_of(lambda: caught_up(delivery, cursor, "nobodys"))
    assert fields_of(status_of(error)) == ["app"]


def test_more_receipts_than_one_answer_holds_all_come(delivery: DeliveryServiceStub) -> None:
    _, cursor = caught_up(delivery, "begin")
    sent: list[str] = []
    for _ in range(5):
        request = delivery_pb2.SendBatchRequest(notifications=[payment() for _ in range(500)])
        answer = delivery.SendBatch(request, timeout=TIMEOUT_S)
        sent += [result.notification_id for result in answer.results]
    for notification_id in sent[-1], sent[0], sent[999], sent[1000]:
        final(delivery, notification_id)
    heard: list[str] = []
    for answer in follow(delivery, cursor):
        assert len(answer.receipts) <= 1_000
        heard += [receipt.notification_id for receipt in answer.receipts]
        if len(heard) >= len(sent):
            break
    assert sorted(heard) == sorted(sent)


def follow(
    stub: DeliveryServiceStub, cursor: str = ""
) -> Generator[delivery_pb2.WatchReceiptsResponse, None, None]:
    answers = stub.WatchReceipts(delivery_pb2.WatchReceiptsRequest(cursor=cursor), timeout=TIMEOUT_S)
    try:
        yield from answers
    finally:
        answers.cancel()


def test_an_empty_cursor_follows_from_now_on(delivery: DeliveryServiceStub) -> None:
    final(delivery, send(delivery, payment()).notification_id)
    answers = follow(delivery)
    # The first answer says that the watcher is in place, and from where it may go on elsewhere.
    begun = next(answers)
    assert (list(begun.receipts), bool(begun.cursor)) == ([], True)
    sent = send(delivery, payment()).notification_id
    heard = next(answer for answer in answers if answer.receipts)
    assert [receipt.notification_id for receipt in heard.receipts] == [sent]
    answers.close()
    assert caught_up(delivery, begun.cursor)[0] == [sent]


def test_a_watcher_resumes_after_a_restart(own_gateway: Callable[..., Gateway]) -> None:
    gateway = own_gateway()
    gateway.start()
    first = send_many(gateway, 8)
    with gateway.delivery() as stub:
        heard, _ = caught_up(stub, "begin")
        watcher = stub.WatchReceipts(delivery_pb2.WatchReceiptsRequest(), timeout=TIMEOUT_S)
        cursor = next(watcher).cursor
        assert gateway.stop() == 0
        # The draining worker ends the stream, and says nothing new.
        assert [answer for answer in watcher if answer.receipts] == []
    assert sorted(heard) == sorted(first)
    gateway.start()
    second = send_many(gateway, 8)
    with gateway.delivery() as stub:
        assert sorted(caught_up(stub, cursor)[0]) == sorted(second)
        assert sorted(caught_up(stub, "begin")[0]) == sorted(first + second)


def test_a_receipt_says_when_the_device_may_have_heard_twice(
    own_gateway: Callable[..., Gateway], simulators: Simulators
) -> None:
    gateway = own_gateway()
    gateway.start()
    with gateway.delivery() as stub:
        simulators.misbehave(Faults(reset_rate=1.0))
        notification_id = send(stub, payment()).notification_id
        await_that(simulators.accepted, lambda count: count > 0)
        simulators.misbehave(Faults())
        (receipt,) = final(stub, notification_id).deliveries
        assert receipt.possibly_delivered
        assert receipt.attempts >= 2
        arrivals = simulators.arrivals(receipt.provider_message_id)
        assert len(arrivals) >= 2
        assert len({arrival["collapse_id"] for arrival in arrivals}) == 1
