"""What the acceptance tests share: simulators, and a gateway of two workers over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub
from protos.walletpush.v1.device_pb2_grpc import DeviceServiceStub
from tests.acceptance.gateway_process import FAST, Gateway, app_toml
from tests.acceptance.simulators import Simulators

# Tests of outages have apps of their own, since a breaker remembers.
APPS = ("wallet", "outage", "expiry", "retry")


@pytest.fixture(scope="session")
def simulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulators]:
    running = Simulators(tmp_path_factory.mktemp("simulators"))
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def healthy_simulators(simulators: Simulators) -> None:
    simulators.reset()


@pytest.fixture(scope="session")
def gateway(simulators: Simulators, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings = "".join(app_toml(simulators, app) for app in APPS)
    running = Gateway(tmp_path_factory.mktemp("gateway"), settings + FAST, workers=2)
    try:
        running.start()
        yield running
    finally:
        running.end()


@pytest.fixture
def delivery(gateway: Gateway) -> Iterator[DeliveryServiceStub]:
    with gateway.delivery() as stub:
        yield stub


@pytest.fixture
def devices(gateway: Gateway) -> Iterator[DeviceServiceStub]:
    with gateway.devices() as stub:
        yield stub


@pytest.fixture
def own_gateway(simulators: Simulators, tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Make gateways that a test may stop and kill; not started yet."""
    made: list[Gateway] = []

    def make(settings: str = "", workers: int = 1) -> Gateway:
        made.append(Gateway(tmp_path, app_toml(simulators) + FAST + settings, workers))
        return made[-1]

    yield make
    for one in made:
        one.end()
