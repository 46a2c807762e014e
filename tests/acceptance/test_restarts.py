"""What was accepted survives: drains, kills, fewer workers, and disks that cannot be written."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import psutil
import pytest

from adapters.simulators.faults import Faults
from protos.walletpush.v1 import delivery_pb2, receipt_pb2
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub
from tests.acceptance.gateway_process import Gateway
from tests.acceptance.messages import TIMEOUT_S, apns_device, await_that, error_of, final, payment, receipt_of, send
from tests.acceptance.simulators import HEALTHY, Simulators

MakeGateway = Callable[..., Gateway]
OUTAGE = Faults(outage="refusing")
DELIVERED = receipt_pb2.NOTIFICATION_STATE_DELIVERED


def send_batch(stub: DeliveryServiceStub, count: int) -> list[str]:
    """Send payments; return the ids of the accepted ones, none if the call failed."""
    request = delivery_pb2.SendBatchRequest(notifications=[payment() for _ in range(count)])
    try:
        answer = stub.SendBatch(request, timeout=TIMEOUT_S)
    except grpc.RpcError:
        return []
    return [result.notification_id for result in answer.results if result.notification_id]


def lost(gateway: Gateway, simulators: Simulators, ids: list[str]) -> list[str]:
    """Return the notifications that the provider never accepted, by the ids their receipts name."""
    apns_ids: dict[str, str] = {}
    with gateway.delivery() as stub:
        for notification_id in ids:
            for receipt in final(stub, notification_id, 30.0).deliveries:
                apns_ids[receipt.provider_message_id] = notification_id
    missing = simulators.ask(lambda client: client.missing("apns", list(apns_ids)))
    return [*(apns_ids[one] for one in missing), *(set(ids) - set(apns_ids.values()))]


def test_a_drain_finishes_or_keeps_everything(own_gateway: MakeGateway, simulators: Simulators) -> None:
    simulators.misbehave(Faults(latency="fixed", latency_ms=300.0))
    gateway = own_gateway()
    gateway.start()
    with gateway.delivery() as stub:
        ids = [one for _ in range(6) for one in send_batch(stub, 250)]
        gateway.signal(signal.SIGTERM)
        error = error_of(lambda: [send(stub, payment()) for _ in range(200)])
        assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert gateway.process.wait(30) == 0
    assert len(ids) == 1_500
    simulators.misbehave(HEALTHY)
    gateway.start()
    assert lost(gateway, simulators, ids) == []
    # What was finished before the drain ended was not sent again.
    repeated = simulators.ask(lambda client: client.duplicates("apns"))
    assert len(repeated) <= 50


def test_a_drain_ends_while_an_outage_keeps_everything_waiting(
    own_gateway: MakeGateway, simulators: Simulators
) -> None:
    simulators.misbehave(OUTAGE)
    gateway = own_gateway("max_pending = 1000\n")
    gateway.start()
    # More devices than the queue has places, so that the rest waits for room as the worker drains.
    notification = payment()
    notification.devices.extend(apns_device(f"waiting-{i}") for i in range(1_499))
    with gateway.delivery() as stub:
        notification_id = send(stub, notification).notification_id
    started = time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - started < 8.0
    simulators.misbehave(HEALTHY)
    gateway.start()
    with gateway.delivery() as stub:
        assert final(stub, notification_id, 30.0).state == DELIVERED
    assert simulators.ask(lambda client: client.summary("apns"))["distinct"] == 1_500


def test_killing_workers_loses_nothing_that_was_accepted(own_gateway: MakeGateway, simulators: Simulators) -> None:
    rng = random.Random(5)
    gateway = own_gateway(workers=2)
    gateway.start()
    ids: list[str] = []
    for _ in range(3):
        ids += send_some(gateway, rounds=rng.randint(3, 6))
        rng.choice(gateway.worker_processes()).kill()
        ids += send_some(gateway, rounds=2)
        await_that(lambda: running(gateway), lambda count: count == 2)
    gateway.await_ready()
    assert len(ids) >= 500
    assert lost(gateway, simulators, ids) == []
    for repeated in simulators.ask(lambda client: client.duplicates("apns")):
        assert len(set(repeated["collapse_ids"])) == 1


def send_some(gateway: Gateway, rounds: int) -> list[str]:
    ids: list[str] = []
    for _ in range(rounds):
        with gateway.delivery() as stub:
            ids += send_batch(stub, 100)
    return ids


def running(gateway: Gateway) -> int:
    return sum(one.status() != psutil.STATUS_ZOMBIE for one in gateway.worker_processes())


def test_a_killed_gateway_sends_what_waited_and_knows_its_keys_again(
    own_gateway: MakeGateway, simulators: Simulators
) -> None:
    simulators.misbehave(OUTAGE)
    gateway = own_gateway()
    gateway.start()
    notification = payment()
    later = payment()
    later.send_at.FromNanoseconds(time.time_ns() + 2 * 10**9)
    with gateway.delivery() as stub:
        waiting, scheduled = (send(stub, one).notification_id for one in (notification, later))
    gateway.kill()
    simulators.misbehave(HEALTHY)
    gateway.start()
    with gateway.delivery() as stub:
        again = send(stub, notification)
        assert (again.notification_id, again.status) == (waiting, delivery_pb2.SEND_STATUS_DUPLICATE)
        assert final(stub, waiting).state == final(stub, scheduled).state == DELIVERED
    assert simulators.accepted() == 2


def test_fewer_workers_finish_what_more_had_accepted(own_gateway: MakeGateway, simulators: Simulators) -> None:
    simulators.misbehave(OUTAGE)
    gateway = own_gateway(workers=2)
    gateway.start()
    ids = send_some(gateway, rounds=8)
    gateway.kill()
    simulators.misbehave(HEALTHY)
    gateway.workers = 1
    gateway.start()
    assert lost(gateway, simulators, ids) == []
    assert simulators.accepted() == 800


@pytest.mark.parametrize("cause", ["full", "read-only"])
def test_a_disk_that_cannot_be_written_refuses_and_lies_to_nobody(
    own_gateway: MakeGateway, simulators: Simulators, cause: str
) -> None:
    gateway = own_gateway()
    gateway.start()
    (worker,) = gateway.worker_processes()
    with gateway.delivery() as stub:
        kept = send(stub, payment()).notification_id
        final(stub, kept)
        before = simulators.accepted()
        break_disk(worker, gateway, cause)
        errors = {error_of(lambda: send(stub, payment())).code() for _ in range(3)}
        assert errors <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert gateway.readiness() in (200, 503)
        mend_disk(worker)
        notification_id = await_that(lambda: send_batch(stub, 1), lambda ids: bool(ids))[0]
        assert final(stub, notification_id).state == DELIVERED
        assert receipt_of(stub, kept).state == DELIVERED
        assert simulators.accepted() == before + 1


def test_a_drain_ends_though_the_disk_cannot_be_written(own_gateway: MakeGateway, simulators: Simulators) -> None:
    gateway = own_gateway()
    gateway.start()
    (worker,) = gateway.worker_processes()
    simulators.misbehave(Faults(latency="fixed", latency_ms=1_000.0))
    with gateway.delivery() as stub:
        notification_id = send(stub, payment()).notification_id
    break_disk(worker, gateway, "full")
    assert gateway.stop() == 0
    gateway.start()
    with gateway.delivery() as stub:
        assert final(stub, notification_id).state == DELIVERED


def break_disk(worker: psutil.Process, gateway: Gateway, cause: str) -> None:
    # Root writes into read-only directories, and not everyone can mount a file system, so the process gets a limit:
    # every write beyond it fails, as on a full disk, or from the first byte.
    journal = gateway.directory / "data" / "journal-0.db-wal"
    limit = journal.stat().st_size if cause == "full" else 1
    worker.rlimit(psutil.RLIMIT_FSIZE, (limit, psutil.RLIM_INFINITY))


def mend_disk(worker: psutil.Process) -> None:
    worker.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))


def test_a_data_directory_that_cannot_be_made_is_said_at_start(own_gateway: MakeGateway, tmp_path: Path) -> None:
    gateway = own_gateway()
    (tmp_path / "data").write_text("in the way")
    gateway.start(wait=False)
    assert gateway.process.wait(20) not in (0, None)
    assert "data" in gateway.log()
