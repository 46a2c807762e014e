"""WorkerService: what the workers of one host ask of each other."""

from __future__ import annotations

from typing import cast

from core.errors import PushError
from gateway.erasure.local import LocalErasure
from gateway.erasure.subject import Subject
from gateway.interceptors import Context
from gateway.pipeline.cancel import Canceller
from gateway.pipeline.retire import Retirer
from gateway.receipts import to_state
from gateway.scopes import Scopes
from gateway.status import Abortable, abort
from protos.walletpush.internal.v1 import worker_pb2 as pb
from protos.walletpush.internal.v1.worker_pb2_grpc import WorkerServiceServicer


class WorkerServicer(WorkerServiceServicer):
    """Trusts who can open the socket: it lies in a directory of the gateway's own user."""

    def __init__(self, canceller: Canceller, scopes: Scopes, retirer: Retirer, erasure: LocalErasure) -> None:
        self._canceller = canceller
        self._scopes = scopes
        self._retirer = retirer
        self._erasure = erasure

    def set_scopes(self, scopes: Scopes) -> None:
        """Take new apps after a reload."""
        self._scopes = scopes

    async def Cancel(  # noqa: N802
        self, request: pb.CancelRequest, context: Context
    ) -> pb.CancelResponse:
        """Cancel a notification of this worker's journal."""
        try:
            cancelled, state = await self._canceller.cancel(
                request.notification_id, self._scopes.of_tenant(request.tenant)
            )
        except PushError as error:
            await abort(cast(Abortable, context), error)
        return pb.CancelResponse(cancelled=cancelled, state=to_state(state))

    async def Holds(self, request: pb.HoldsRequest, context: Context) -> pb.HoldsResponse:  # noqa: N802
        """List the holds of the mass-death guard, and end one."""
        held = self._retirer.held()
        if request.action == pb.HOLD_ACTION_RELEASE:
            self._retirer.release(request.app)
        elif request.action == pb.HOLD_ACTION_FORGET:
            self._retirer.forget(request.app)
        return pb.HoldsResponse(held_tokens=held)

    async def Erase(self, request: pb.EraseRequest, context: Context) -> pb.EraseResponse:  # noqa: N802
        """Erase a user from this worker."""
        devices = frozenset((int(one.provider), one.token) for one in request.devices)
        try:
            counts = await self._erasure.erase(Subject(request.app, request.user_id, devices))
        except PushError as error:
            await abort(cast(Abortable, context), error)
        return pb.EraseResponse(removed_counts=counts)
