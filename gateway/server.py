"""The grpc.aio servers of one worker: the public one, and the socket its siblings use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection

from gateway.interceptors import CallInterceptor
from gateway.peers import socket_of
from gateway.privacy.auditing import AuditInterceptor
from gateway.services.delivery import DeliveryServicer
from gateway.services.devices import DeviceServicer
from gateway.services.policy import PolicyServicer
from gateway.services.preferences import PreferenceServicer
from gateway.services.privacy import PrivacyServicer
from gateway.services.templates import TemplateServicer
from gateway.services.users import UserServicer
from gateway.services.workers import WorkerServicer
from gateway.settings.components import ServerSettings
from protos.walletpush.internal.v1.worker_pb2_grpc import add_WorkerServiceServicer_to_server
from protos.walletpush.v1 import (
    delivery_pb2,
    device_pb2,
    policy_pb2,
    preference_pb2,
    privacy_pb2,
    template_pb2,
    user_pb2,
)
from protos.walletpush.v1.delivery_pb2_grpc import add_DeliveryServiceServicer_to_server
from protos.walletpush.v1.device_pb2_grpc import add_DeviceServiceServicer_to_server
from protos.walletpush.v1.policy_pb2_grpc import add_PolicyServiceServicer_to_server
from protos.walletpush.v1.preference_pb2_grpc import add_PreferenceServiceServicer_to_server
from protos.walletpush.v1.privacy_pb2_grpc import add_PrivacyServiceServicer_to_server
from protos.walletpush.v1.template_pb2_grpc import add_TemplateServiceServicer_to_server
from protos.walletpush.v1.user_pb2_grpc import add_UserServiceServicer_to_server

DELIVERY = delivery_pb2.DESCRIPTOR.services_by_name["DeliveryService"].full_name
DEVICES = device_pb2.DESCRIPTOR.services_by_name["DeviceService"].full_name
USERS = user_pb2.DESCRIPTOR.services_by_name["UserService"].full_name
PREFERENCES = preference_pb2.DESCRIPTOR.services_by_name["PreferenceService"].full_name
TEMPLATES = template_pb2.DESCRIPTOR.services_by_name["TemplateService"].full_name
POLICY = policy_pb2.DESCRIPTOR.services_by_name["PolicyService"].full_name
PRIVACY = privacy_pb2.DESCRIPTOR.services_by_name["PrivacyService"].full_name
_SERVICES = (DELIVERY, DEVICES, USERS, PREFERENCES, TEMPLATES, POLICY, PRIVACY, "")


@dataclass(frozen=True, slots=True)
class Services:
    """What the public server offers, beside health and reflection."""

    delivery: DeliveryServicer
    devices: DeviceServicer
    users: UserServicer
    preferences: PreferenceServicer
    templates: TemplateServicer
    policy: PolicyServicer
    privacy: PrivacyServicer


class PublicServer:
    """What callers connect to; several workers share the port by SO_REUSEPORT."""

    def __init__(
        self, settings: ServerSettings, interceptor: CallInterceptor, audit: AuditInterceptor, services: Services
    ) -> None:
        self._settings = settings
        self._server = grpc.aio.server(
            interceptors=[interceptor, audit], options=_options(settings),
            maximum_concurrent_rpcs=settings.max_concurrent_rpcs,
        )  # fmt: skip
        self._health = HealthServicer()
        add_DeliveryServiceServicer_to_server(services.delivery, self._server)  # type: ignore[no-untyped-call]
        add_DeviceServiceServicer_to_server(services.devices, self._server)  # type: ignore[no-untyped-call]
        add_UserServiceServicer_to_server(services.users, self._server)  # type: ignore[no-untyped-call]
        add_PreferenceServiceServicer_to_server(services.preferences, self._server)  # type: ignore[no-untyped-call]
        add_TemplateServiceServicer_to_server(services.templates, self._server)  # type: ignore[no-untyped-call]
        add_PolicyServiceServicer_to_server(services.policy, self._server)  # type: ignore[no-untyped-call]
        add_PrivacyServiceServicer_to_server(services.privacy, self._server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*_SERVICES[:-1], health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self.port = self._bind()

    async def start(self) -> None:
        """Begin to serve and say so to health checks."""
        await self._server.start()
        await self._report(HealthCheckResponse.SERVING)

    async def stop_taking(self) -> None:
        """Tell health checks that callers should go elsewhere; calls are still answered."""
        await self._report(HealthCheckResponse.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Close: calls under way have grace_s to end."""
        await self._server.stop(grace_s)

    async def _report(self, status: HealthCheckResponse.ServingStatus.ValueType) -> None:
        for service in _SERVICES:
            await self._health.set(service, status)

    def _bind(self) -> int:
        settings = self._settings
        if settings.tls_cert_file is None or settings.tls_key_file is None:
            return self._server.add_insecure_port(settings.listen)
        pair = (Path(settings.tls_key_file).read_bytes(), settings.tls_cert_file.read_bytes())
        clients = settings.client_ca_file.read_bytes() if settings.client_ca_file else None
        credentials = grpc.ssl_server_credentials([pair], clients, require_client_auth=clients is not None)
        return self._server.add_secure_port(settings.listen, credentials)


class WorkerSocket:
    """What the siblings and the supervisor of one worker connect to."""

    def __init__(self, run_dir: Path, number: int, audit: AuditInterceptor, servicer: WorkerServicer) -> None:
        self._server = grpc.aio.server(interceptors=[audit])
        add_WorkerServiceServicer_to_server(servicer, self._server)  # type: ignore[no-untyped-call]
        address = socket_of(run_dir, number)
        # A killed worker leaves its socket file behind.
        Path(address.removeprefix("unix:")).unlink(missing_ok=True)
        self._server.add_insecure_port(address)

    async def start(self) -> None:
        """Begin to serve."""
        await self._server.start()

    async def stop(self) -> None:
        """Close at once."""
        await self._server.stop(None)


def _options(settings: ServerSettings) -> Sequence[tuple[str, int]]:
    # https://grpc.github.io/grpc/core/group__grpc__arg__keys.html
    return (
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.keepalive_time_ms", settings.keepalive_s * 1_000),
        ("grpc.keepalive_timeout_ms", settings.keepalive_timeout_s * 1_000),
        ("grpc.http2.min_ping_interval_without_data_ms", settings.min_client_ping_s * 1_000),
        ("grpc.http2.max_ping_strikes", 3),
        ("grpc.max_metadata_size", 16 * 1_024),
    )
