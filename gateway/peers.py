"""The workers of this host as clients of each other, over sockets in the data directory."""

from __future__ import annotations

from pathlib import Path

import grpc

from core.errors import Unavailable, UnknownNotification
from gateway.erasure.subject import Subject
from gateway.pipeline.archive import UNKNOWN
from gateway.pipeline.cancel import Cancelled
from gateway.receipts import from_state
from protos.walletpush.internal.v1 import worker_pb2 as pb
from protos.walletpush.internal.v1.worker_pb2_grpc import WorkerServiceStub
from protos.walletpush.v1 import notification_pb2

_TIMEOUT_S = 5.0
# It walks through the whole journal.
_ERASING_S = 300.0


def socket_of(run_dir: Path, number: int) -> str:
    """Return the gRPC address of a worker's own socket."""
    return f"unix:{run_dir / f'worker-{number}.sock'}"


class Peers:
    """Calls to other workers; a channel to each is made at its first call and kept."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._channels: dict[int, grpc.aio.Channel] = {}

    async def cancel(self, number: int, notification_id: bytes, tenant: str) -> Cancelled:
        """Cancel a notification of another worker. Raises UnknownNotification, or Unavailable if it does not answer."""
        request = pb.CancelRequest(notification_id=notification_id, tenant=tenant)
        try:
            answer = await self._stub(number).Cancel(request, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise UnknownNotification(UNKNOWN) from error
            raise Unavailable(f"worker {number} does not answer") from error
        return Cancelled(answer.cancelled, from_state(answer.state))

    async def holds(self, number: int, action: pb.HoldAction, app: str) -> dict[str, int]:
        """List a worker's holds of dead tokens, and end one. Raises Unavailable if it does not answer."""
        request = pb.HoldsRequest(action=action, app=app)
        try:
            answer = await self._stub(number).Holds(request, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise Unavailable(f"worker {number} does not answer") from error
        return dict(answer.held_tokens)

    async def erase(self, number: int, subject: Subject) -> dict[str, int]:
        """Erase a user from another worker; return counts. Raises Unavailable if it does not answer."""
        devices = [
            notification_pb2.DeviceToken(provider=provider, token=token)  # type: ignore[arg-type]
            for provider, token in sorted(subject.devices)
        ]
        request = pb.EraseRequest(app=subject.app, user_id=subject.user_id, devices=devices)
        try:
            answer = await self._stub(number).Erase(request, timeout=_ERASING_S)
        except grpc.aio.AioRpcError as error:
            raise Unavailable(f"worker {number} does not answer") from error
        return dict(answer.removed_counts)

    async def close(self) -> None:
        """Hang up on all."""
        for channel in self._channels.values():
            await channel.close(None)
        self._channels.clear()

    def _stub(self, number: int) -> WorkerServiceStub:
        channel = self._channels.get(number)
        if channel is None:
            channel = self._channels[number] = grpc.aio.insecure_channel(socket_of(self._run_dir, number))
        return WorkerServiceStub(channel)  # type: ignore[no-untyped-call]
