"""The client: sends, follows, cancels, and keeps devices, over one connection to the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Self

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.client.answers import Accepted, Receipts, accepted
from gateway.client.channel import key_metadata, open_channel
from gateway.client.errors import Closed, Failed, Transient, WalletpushError, about, from_status
from gateway.client.following import Follower
from gateway.client.options import Batching, FlowControl, Retry, Tls
from gateway.client.outbox import Outbox
from gateway.client.preferences import Preferences
from gateway.client.privacy import Privacy
from gateway.client.retrying import pause_s, retrying
from gateway.client.stream import Stream
from gateway.client.templates import Templates
from gateway.client.tracing import trace_metadata
from gateway.client.users import Users
from gateway.client.wire import new_key
from protos.walletpush.v1 import delivery_pb2 as pb
from protos.walletpush.v1 import device_pb2
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceStub
from protos.walletpush.v1.device_pb2_grpc import DeviceServiceStub
from protos.walletpush.v1.notification_pb2 import DeviceToken, Notification
from protos.walletpush.v1.policy_pb2 import ExplainNotificationRequest, ExplainNotificationResponse
from protos.walletpush.v1.policy_pb2_grpc import PolicyServiceStub
from protos.walletpush.v1.receipt_pb2 import NotificationReceipt

DEFAULT_ADDRESS = "127.0.0.1:50051"
MAX_BATCH = 1_000
_BATCHING, _FLOW_CONTROL, _RETRY = Batching(), FlowControl(), Retry()


class Walletpush:
    """Use as `async with Walletpush(...) as client`; leaving it waits for what was sent, unless by an exception.

    address: host:port or unix:path. key: a caller's bearer key. Plain text leaves this host only with insecure=True.
    What is transient is tried again until the retry deadline, always with the same idempotency key; then Overloaded or
    Unavailable is raised. All methods raise the errors of `gateway.client.errors`.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        key: str | None = None,
        tls: Tls | None = None,
        insecure: bool = False,
        batching: Batching = _BATCHING,
        flow_control: FlowControl = _FLOW_CONTROL,
        retry: Retry = _RETRY,
    ) -> None:
        """Raises ValueError for plain text beyond loopback. Needs a running loop; connects at its first call."""
        self._retry = retry
        self._metadata = key_metadata(key)
        self._channel = open_channel(address, tls, insecure=insecure)
        self._deliveries = DeliveryServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._devices = DeviceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._policy = PolicyServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self.templates = Templates(self._channel, self._call)
        self.users = Users(self._channel, self._call, self._metadata, retry)
        self.preferences = Preferences(self._channel, self._call)
        self.privacy = Privacy(self._channel, self._call, self._metadata, retry)
        self._outbox = Outbox(batching, flow_control, retry)
        self._stream = Stream(self._channel, self._metadata, self._outbox, retry)
        self._sender: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, waiting for answers when the block ended well."""
        await self.close(drain=error is None)

    async def close(self, *, drain: bool = True) -> None:
        """Hang up. drain: wait for what was sent, at most for the retry deadline; the rest raises Closed."""
        self._closed = True
        if drain:
            await self._outbox.wait_empty()
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])
        self._outbox.fail_all(Closed("the client was closed"))
        await self._channel.close(None)

    async def send(self, notification: Notification) -> Accepted:
        """Send one notification, together with what others send at the same time: chunks of one stream.

        It is copied; without an idempotency key the copy gets a UUID. Raises FlowControlFull if the limits say so.
        """
        if self._closed:
            raise Closed("the client was closed")
        if self._sender is None:
            self._sender = asyncio.ensure_future(self._stream.run())
            self._sender.add_done_callback(self._on_sender_done)
        return await self._outbox.send(notification)

    async def send_now(self, notification: Notification) -> Accepted:
        """Send one notification in a call of its own."""
        request = pb.SendRequest(notification=_keyed(notification))
        try:
            answer: pb.SendResponse = await self._call(self._deliveries.Send, request)
        except WalletpushError as error:
            error.idempotency_key = request.notification.idempotency_key
            raise
        return accepted(answer)

    async def send_batch(self, notifications: Sequence[Notification]) -> list[Accepted | WalletpushError]:
        """Send several in calls of up to 1,000; return what became of each, in their order.

        A call that fails as a whole is an error for each of its notifications; nothing is raised.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._retry.deadline_s
        keyed = [_keyed(one) for one in notifications]
        outcomes = await self._send_calls(keyed)
        attempts = 1
        while again := [place for place, outcome in enumerate(outcomes) if isinstance(outcome, Transient)]:
            pause = pause_s(self._retry, attempts, _longest_wait(outcomes))
            if loop.time() + pause >= deadline_s:
                break
            await asyncio.sleep(pause)
            attempts += 1
            told = await self._send_calls([keyed[place] for place in again])
            for place, outcome in zip(again, told, strict=True):
                outcomes[place] = outcome
        return outcomes

    async def watch_receipts(
        self, cursor: str = "", *, app: str = "", until_caught_up: bool = False
    ) -> AsyncIterator[Receipts]:
        """Follow deliveries as they end, over disconnects; cursor: "" from now on, "begin", or an earlier one."""
        request = pb.WatchReceiptsRequest(cursor=cursor, app=app, until_caught_up=until_caught_up)
        async for receipts in Follower(self._deliveries, self._metadata, self._retry, request).receipts():
            yield receipts

    async def get_receipt(self, notification_id: str) -> NotificationReceipt:
        """Ask where one notification stands. Raises NotFound."""
        request = pb.GetReceiptRequest(notification_id=notification_id)
        answer: pb.GetReceiptResponse = await self._call(self._deliveries.GetReceipt, request)
        return answer.receipt

    async def cancel(self, notification_id: str) -> bool:
        """Cancel what has not been sent; tell whether that was anything. Raises NotFound."""
        request = pb.CancelNotificationRequest(notification_id=notification_id)
        answer: pb.CancelNotificationResponse = await self._call(self._deliveries.CancelNotification, request)
        return answer.cancelled

    async def register_device(self, device: device_pb2.Device) -> device_pb2.Device:
        """Register a device or renew it; return it as stored."""
        request = device_pb2.RegisterDeviceRequest(device=device)
        answer: device_pb2.RegisterDeviceResponse = await self._call(self._devices.RegisterDevice, request)
        return answer.device

    async def unregister_device(self, app: str, token: DeviceToken) -> bool:
        """Remove a device; tell whether it was registered."""
        request = device_pb2.UnregisterDeviceRequest(app=app, token=token)
        answer: device_pb2.UnregisterDeviceResponse = await self._call(self._devices.UnregisterDevice, request)
        return answer.removed

    async def list_devices(self, app: str, user_id: str) -> list[device_pb2.Device]:
        """List a user's devices, newest first."""
        request = device_pb2.ListDevicesRequest(app=app, user_id=user_id)
        answer: device_pb2.ListDevicesResponse = await self._call(self._devices.ListDevices, request)
        return list(answer.devices)

    async def explain(self, notification: Notification, at: Timestamp | None = None) -> ExplainNotificationResponse:
        """Take a notification for one user through every gate, now or at another time; nothing is sent or counted."""
        request = ExplainNotificationRequest(notification=notification, time=at)
        answer: ExplainNotificationResponse = await self._call(self._policy.ExplainNotification, request)
        return answer

    async def _send_calls(self, keyed: Sequence[Notification]) -> list[Accepted | WalletpushError]:
        outcomes: list[Accepted | WalletpushError] = []
        for start in range(0, len(keyed), MAX_BATCH):
            part = keyed[start : start + MAX_BATCH]
            outcomes += await self._send_call(part)
        return outcomes

    async def _send_call(self, part: Sequence[Notification]) -> list[Accepted | WalletpushError]:
        try:
            answer: pb.SendBatchResponse = await self._call(
                self._deliveries.SendBatch, pb.SendBatchRequest(notifications=part)
            )
        except WalletpushError as error:
            return [about(error, one.idempotency_key) for one in part]
        return [_outcome(result, one) for one, result in zip(part, answer.results, strict=True)]

    async def _call(self, method: Callable[..., Any], request: object) -> Any:
        metadata = self._metadata + trace_metadata()
        return await retrying(lambda left_s: method(request, timeout=left_s, metadata=metadata), self._retry)

    def _on_sender_done(self, sender: asyncio.Task[None]) -> None:
        if not sender.cancelled():
            self._sender = None
            self._outbox.fail_all(Failed(f"the client has a fault: {sender.exception()!r}"))


def _keyed(notification: Notification) -> Notification:
    if notification.idempotency_key:
        return notification
    keyed = Notification()
    keyed.CopyFrom(notification)
    keyed.idempotency_key = new_key()
    return keyed


def _outcome(result: pb.SendResult, notification: Notification) -> Accepted | WalletpushError:
    if not result.HasField("error"):
        return accepted(result)
    return about(from_status(result.error), notification.idempotency_key)


def _longest_wait(outcomes: Sequence[Accepted | WalletpushError]) -> float:
    return max(outcome.retry_after_s for outcome in outcomes if isinstance(outcome, Transient))
