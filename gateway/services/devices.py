"""DeviceService: which devices a user has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Protocol, cast

from core.content.encryption import load_key
from core.errors import InvalidRequest
from core.model import Device, Environment, Provider, Target
from core.storage import DeviceRegistry
from gateway.callers import current_caller
from gateway.convert import Scope, named_target
from gateway.fields import bounded, required
from gateway.interceptors import Context
from gateway.pipeline.clock import Clock
from gateway.pipeline.owners import Owners
from gateway.receipts import to_timestamp
from gateway.scopes import Scopes
from protos.walletpush.v1 import device_pb2 as pb
from protos.walletpush.v1 import notification_pb2
from protos.walletpush.v1.device_pb2_grpc import DeviceServiceServicer

# BCP 47 in the shape that apps send it: https://www.rfc-editor.org/rfc/rfc5646#section-2.1
_LOCALE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}")
_ZONE = re.compile(r"[A-Za-z0-9_+\-]{1,32}(/[A-Za-z0-9_+\-]{1,32}){0,2}")
_MAKER = re.compile(r"[a-z0-9_-]{1,32}")
_PERMISSIONS = frozenset(pb.Permission.values())


class DeviceHolders(Protocol):
    """Whose devices are, and who must hear that they no longer are."""

    async def owners(self, app: str, targets: Sequence[Target]) -> Owners:
        """Return whose devices these are; one that is not registered is not in the answer. Raises Unavailable."""

    def touch(self, app: str, user_ids: Iterable[str]) -> None:
        """Have what was decided of these users, and still waits, decided anew."""


class DeviceServicer(DeviceServiceServicer):
    """Validates and passes on to the registry; what waits for a device that changes hands must not reach the next."""

    def __init__(self, registry: DeviceRegistry, holders: DeviceHolders, scopes: Scopes, clock: Clock) -> None:
        self._registry = registry
        self._holders = holders
        self._scopes = scopes
        self._clock = clock

    def set_scopes(self, scopes: Scopes) -> None:
        """Take new apps and callers after a reload."""
        self._scopes = scopes

    async def RegisterDevice(  # noqa: N802
        self, request: pb.RegisterDeviceRequest, context: Context
    ) -> pb.RegisterDeviceResponse:
        """Register or renew a device."""
        device = _device(request.device, self._scope(), self._clock.unix_ms())
        before = await self._holder(device.app, device.target)
        await self._registry.register([device])
        self._holders.touch(device.app, {device.user_id, before} - {""})
        return pb.RegisterDeviceResponse(device=_told(device))

    async def UnregisterDevice(  # noqa: N802
        self, request: pb.UnregisterDeviceRequest, context: Context
    ) -> pb.UnregisterDeviceResponse:
        """Remove a device."""
        target = named_target("token", request.token, _providers(self._scope(), "app", request.app))
        before = await self._holder(request.app, target)
        removed = await self._registry.unregister(request.app, target.provider, [target.token])
        self._holders.touch(request.app, {before} - {""})
        return pb.UnregisterDeviceResponse(removed=removed > 0)

    async def ListDevices(self, request: pb.ListDevicesRequest, context: Context) -> pb.ListDevicesResponse:  # noqa: N802
        """List a user's devices."""
        _providers(self._scope(), "app", request.app)
        user_id = required("user_id", request.user_id, 128)
        devices = await self._registry.list_devices(request.app, user_id)
        return pb.ListDevicesResponse(devices=[_told(device) for device in devices])

    async def _holder(self, app: str, target: Target) -> str:
        for user_id, _ in (await self._holders.owners(app, [target])).values():
            return user_id
        return ""

    def _scope(self) -> Scope:
        caller = current_caller.get()
        caller.require("manage_devices")
        return self._scopes.of(caller)


def _providers(scope: Scope, field: str, app: str) -> frozenset[int]:
    providers = scope.providers.get(app, frozenset())
    if not providers:
        raise InvalidRequest(field, "is required" if not app else f"unknown app {app[:64]!r}, or not yours")
    return providers


def _device(told: pb.Device, scope: Scope, now_unix_ms: int) -> Device:
    target = named_target("device.token", told.token, _providers(scope, "device.app", told.app))
    return Device(
        app=told.app,
        user_id=required("device.user_id", told.user_id, 128),
        target=target._replace(registered_unix_ms=now_unix_ms),
        locale=_shaped("device.locale", told.locale, 35, _LOCALE, "a BCP 47 tag such as zh-CN"),
        time_zone=_shaped("device.time_zone", told.time_zone, 64, _ZONE, "an IANA time zone such as Asia/Shanghai"),
        app_version=bounded("device.app_version", told.app_version, 32),
        permission=_permission(told.permission),
        encryption_key=_public_key(told.encryption_key),
        manufacturer=_shaped(
            "device.manufacturer", told.manufacturer.lower(), 32, _MAKER, "a name such as huawei, of a-z 0-9 _ -"
        ),
    )


def _permission(told: int) -> int:
    if told not in _PERMISSIONS:
        raise InvalidRequest("device.permission", f"unknown permission {told}")
    return told


def _public_key(key: bytes) -> bytes:
    if key:
        load_key("device.encryption_key", key)
    return key


def _shaped(field: str, value: str, max_bytes: int, shape: re.Pattern[str], what: str) -> str:
    if bounded(field, value, max_bytes) and not shape.fullmatch(value):
        raise InvalidRequest(field, f"must be {what}")
    return value


def _told(device: Device) -> pb.Device:
    target = device.target
    environment = (
        notification_pb2.ENVIRONMENT_SANDBOX
        if target.environment is Environment.SANDBOX
        else notification_pb2.ENVIRONMENT_PRODUCTION
    )
    provider = notification_pb2.PROVIDER_APNS if target.provider is Provider.APNS else notification_pb2.PROVIDER_FCM
    return pb.Device(
        app=device.app,
        user_id=device.user_id,
        token=notification_pb2.DeviceToken(provider=provider, token=target.token, environment=environment),
        locale=device.locale,
        time_zone=device.time_zone,
        app_version=device.app_version,
        permission=cast(pb.Permission, device.permission),
        encryption_key=device.encryption_key,
        manufacturer=device.manufacturer,
        register_time=to_timestamp(target.registered_unix_ms),
    )
