"""A small gateway that keeps the contract for its callers, in memory, and misbehaves as a test asks."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import grpc

from core.errors import IdempotencyConflict, InvalidRequest, Overloaded, PushError, Unavailable, UnknownNotification
from gateway.status import abort, to_status
from protos.walletpush.v1 import delivery_pb2 as pb
from protos.walletpush.v1 import device_pb2, notification_pb2, receipt_pb2
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceServicer, add_DeliveryServiceServicer_to_server
from protos.walletpush.v1.device_pb2_grpc import DeviceServiceServicer, add_DeviceServiceServicer_to_server

Context = Any
APP = "com.example.wallet"


class Deliveries(DeliveryServiceServicer):
    """Accepts into a dict by key, and does what a test asks for: refuse, break off, keep talks."""

    def __init__(self) -> None:
        self.accepted: dict[str, tuple[str, bytes]] = {}
        self.taken: dict[str, notification_pb2.Notification] = {}
        self.chunks: list[int] = []
        self.sequences: list[list[int]] = []
        self.keys_seen: list[str] = []
        self.authorization: list[str] = []
        self.receipts: list[receipt_pb2.Receipt] = []
        self.cursors: list[str] = []
        self.refuse_next: list[PushError] = []
        self.abort_next: list[PushError] = []
        # For each next stream: chunks acknowledged before it breaks; one more is taken and not answered.
        self.break_after: list[int] = []
        self.break_watch_after: list[int] = []
        self.talks = asyncio.Event()
        self.talks.set()
        self.opened = asyncio.Semaphore(0)

    async def Send(self, request: pb.SendRequest, context: Context) -> pb.SendResponse:  # noqa: N802
        await self._check(context)
        try:
            notification_id, status = self._take(request.notification)
        except PushError as error:
            await abort(context, error)
        return pb.SendResponse(notification_id=notification_id, status=status)

    async def SendBatch(self, request: pb.SendBatchRequest, context: Context) -> pb.SendBatchResponse:  # noqa: N802
        await self._check(context)
        if not 1 <= len(request.notifications) <= 1_000:
            await abort(context, InvalidRequest("notifications", "1 to 1,000"))
        return pb.SendBatchResponse(results=self._results(request.notifications))

    async def SendStream(  # noqa: N802
        self, requests: AsyncIterator[pb.SendStreamRequest], context: Context
    ) -> AsyncIterator[pb.SendStreamResponse]:
        await self._check(context)
        left = self.break_after.pop(0) if self.break_after else -1
        self.sequences.append([])
        self.opened.release()
        async for request in requests:
            self.sequences[-1].append(request.sequence)
            self.chunks.append(len(request.notifications))
            results = self._results(request.notifications)
            if left == 0:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
            left -= 1
            await self.talks.wait()
            yield pb.SendStreamResponse(sequence=request.sequence, results=results)

    async def WatchReceipts(  # noqa: N802
        self, request: pb.WatchReceiptsRequest, context: Context
    ) -> AsyncIterator[pb.WatchReceiptsResponse]:
        await self._check(context)
        self.cursors.append(request.cursor)
        self.opened.release()
        left = self.break_watch_after.pop(0) if self.break_watch_after else -1
        start = 0 if request.cursor == "begin" else int(request.cursor or len(self.receipts))
        for place in range(start, len(self.receipts)):
            if left == 0:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
            left -= 1
            yield pb.WatchReceiptsResponse(receipts=[self.receipts[place]], cursor=str(place + 1))
        if request.until_caught_up:
            yield pb.WatchReceiptsResponse(cursor=str(len(self.receipts)))
            return
        await asyncio.Event().wait()

    async def GetReceipt(self, request: pb.GetReceiptRequest, context: Context) -> pb.GetReceiptResponse:  # noqa: N802
        await self._check(context)
        if request.notification_id not in {ident for ident, _ in self.accepted.values()}:
            await abort(context, UnknownNotification("no such notification"))
        state = receipt_pb2.NOTIFICATION_STATE_ACCEPTED
        receipt = receipt_pb2.NotificationReceipt(notification_id=request.notification_id, state=state)
        return pb.GetReceiptResponse(receipt=receipt)

    async def CancelNotification(  # noqa: N802
        self, request: pb.CancelNotificationRequest, context: Context
    ) -> pb.CancelNotificationResponse:
        await self._check(context)
        cancelled = receipt_pb2.NOTIFICATION_STATE_CANCELLED
        return pb.CancelNotificationResponse(cancelled=True, state=cancelled)

    async def _check(self, context: Context) -> None:
        self.authorization.append(str(dict(context.invocation_metadata()).get("authorization", "")))
        if self.abort_next:
            await abort(context, self.abort_next.pop(0))

    def _results(self, notifications: Sequence[notification_pb2.Notification]) -> list[pb.SendResult]:
        return [self._result(one) for one in notifications]

    def _result(self, notification: notification_pb2.Notification) -> pb.SendResult:
        try:
            notification_id, status = self._take(notification)
        except PushError as error:
            return pb.SendResult(error=to_status(error))
        return pb.SendResult(notification_id=notification_id, status=status)

    def _take(self, notification: notification_pb2.Notification) -> tuple[str, pb.SendStatus]:
        key = notification.idempotency_key
        self.keys_seen.append(key)
        if self.refuse_next:
            raise self.refuse_next.pop(0)
        if not key:
            raise InvalidRequest("idempotency_key", "is required")
        if notification.app != APP:
            raise InvalidRequest("app", "unknown app")
        body = notification.SerializeToString(deterministic=True)
        known = self.accepted.get(key)
        if known is None:
            self.taken[key] = notification
            self.accepted[key] = (str(uuid.uuid4()), body)
            return self.accepted[key][0], pb.SEND_STATUS_ACCEPTED
        if known[1] != body:
            raise IdempotencyConflict(known[0])
        return known[0], pb.SEND_STATUS_DUPLICATE


class Devices(DeviceServiceServicer):
    """Keeps devices in a dict."""

    def __init__(self) -> None:
        self.devices: dict[tuple[str, str], device_pb2.Device] = {}

    async def RegisterDevice(  # noqa: N802
        self, request: device_pb2.RegisterDeviceRequest, context: Context
    ) -> device_pb2.RegisterDeviceResponse:
        device = request.device
        if device.app != APP:
            await abort(context, InvalidRequest("device.app", f"unknown app {device.app!r}"))
        device.register_time.GetCurrentTime()
        self.devices[device.app, device.token.token] = device
        return device_pb2.RegisterDeviceResponse(device=device)

    async def UnregisterDevice(  # noqa: N802
        self, request: device_pb2.UnregisterDeviceRequest, context: Context
    ) -> device_pb2.UnregisterDeviceResponse:
        removed = self.devices.pop((request.app, request.token.token), None)
        return device_pb2.UnregisterDeviceResponse(removed=removed is not None)

    async def ListDevices(  # noqa: N802
        self, request: device_pb2.ListDevicesRequest, context: Context
    ) -> device_pb2.ListDevicesResponse:
        found = [one for one in self.devices.values() if (one.app, one.user_id) == (request.app, request.user_id)]
        return device_pb2.ListDevicesResponse(devices=found)


class SmallGateway:
    """The servicers behind a real gRPC server, which can be stopped and started on its port."""

    def __init__(self) -> None:
        self.deliveries = Deliveries()
        self.devices = Devices()
        self.port = 0
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self, credentials: grpc.ServerCredentials | None = None) -> Self:
        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 1),))
        add_DeliveryServiceServicer_to_server(self.deliveries, self._server)  # type: ignore[no-untyped-call]
        add_DeviceServiceServicer_to_server(self.devices, self._server)  # type: ignore[no-untyped-call]
        if credentials is None:
            self.port = self._server.add_insecure_port(self.address)
        else:
            self.port = self._server.add_secure_port(self.address, credentials)
        await self._server.start()
        return self

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None


@asynccontextmanager
async def small_gateway(credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[SmallGateway]:
    """Run one while the context is open."""
    gateway = await SmallGateway().start(credentials)
    try:
        yield gateway
    finally:
        await gateway.stop()


def overloaded(after_ms: int = 1) -> Overloaded:
    """Make a refusal for want of room."""
    return Overloaded("pending", after_ms)


def draining() -> Unavailable:
    """Make the refusal of a gateway that stops."""
    return Unavailable("draining")
