"""DeliveryService: sending, following and cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing

from core.errors import InvalidRequest, PushError
from core.model import Receipt
from core.notification_id import parse_id_text
from gateway.callers import Caller, current_caller
from gateway.convert import MAX_BATCH, Scope
from gateway.interceptors import Context
from gateway.pipeline.intake import Intake, Taken
from gateway.receipts import to_receipt, to_state, to_timestamp
from gateway.results import batch_response, stream_response
from gateway.scopes import Scopes
from gateway.services.tracking import Tracking
from gateway.tracing.port import current_call
from protos.walletpush.v1 import delivery_pb2 as pb
from protos.walletpush.v1 import notification_pb2, receipt_pb2
from protos.walletpush.v1.delivery_pb2_grpc import DeliveryServiceServicer

Chunks = asyncio.Queue[tuple[int, asyncio.Future[list[Taken]]] | None]
# So many chunks of one stream are in the pipeline before the next is read.
_CHUNKS_IN_FLIGHT = 32
# Telling takes some 5 us a receipt.
_STRIDE = 125


class DeliveryServicer(DeliveryServiceServicer):
    """Checks the caller and the request's shape; what becomes of the messages is the intake's to say."""

    def __init__(self, intake: Intake, tracking: Tracking, scopes: Scopes) -> None:
        self._intake = intake
        self._tracking = tracking
        self._scopes = scopes
        self._telling = asyncio.Lock()

    def set_scopes(self, scopes: Scopes) -> None:
        """Take new apps and callers after a reload."""
        self._scopes = scopes
        self._tracking.set_scopes(scopes)

    async def Send(self, request: pb.SendRequest, context: Context) -> pb.SendResponse:  # noqa: N802
        """Accept one notification."""
        if not request.HasField("notification"):
            raise InvalidRequest("notification", "is required")
        (taken,) = await self._intake.submit(self._scope(), [request.notification])
        if taken.error is not None:
            raise taken.error
        status = pb.SEND_STATUS_DUPLICATE if taken.duplicate else pb.SEND_STATUS_ACCEPTED
        return pb.SendResponse(notification_id=taken.notification_id, status=status)

    async def SendBatch(self, request: pb.SendBatchRequest, context: Context) -> pb.SendBatchResponse:  # noqa: N802
        """Accept up to 1,000 notifications."""
        return batch_response(await self._take(self._scope(), request.notifications))

    async def SendStream(  # noqa: N802
        self, requests: AsyncIterator[pb.SendStreamRequest], context: Context
    ) -> AsyncIterator[pb.SendStreamResponse]:
        """Accept chunks, many at once, and acknowledge them in order."""
        chunks: Chunks = asyncio.Queue(_CHUNKS_IN_FLIGHT)
        # Not a TaskGroup: its scope must not span a yield.
        reader = asyncio.ensure_future(self._read(requests, self._scope(), chunks))
        try:
            while (chunk := await chunks.get()) is not None:
                yield stream_response(chunk[0], await chunk[1])
            await reader
        finally:
            reader.cancel()
            left = list(_drained(chunks))
            for taking in left:
                taking.cancel()
            # Awaited, so that none of their errors is left for the loop to complain about.
            await asyncio.gather(reader, return_exceptions=True)
            await asyncio.gather(*left, return_exceptions=True)

    async def WatchReceipts(  # noqa: N802
        self, request: pb.WatchReceiptsRequest, context: Context
    ) -> AsyncIterator[pb.WatchReceiptsResponse]:
        """Tell receipts from a cursor on."""
        caller = self._reader()
        follow = self._tracking.follow(
            self._scopes.of(caller), request.cursor, request.app, request.until_caught_up
        )
        async with aclosing(follow):
            async for receipts, cursor in follow:
                yield pb.WatchReceiptsResponse(receipts=await self._told(receipts), cursor=cursor)

    async def GetReceipt(self, request: pb.GetReceiptRequest, context: Context) -> pb.GetReceiptResponse:  # noqa: N802
        """Tell where one notification stands."""
        ident = _ident(request.notification_id)
        standing = await self._tracking.standing(ident, self._scopes.of(self._reader()))
        return pb.GetReceiptResponse(
            receipt=receipt_pb2.NotificationReceipt(
                notification_id=request.notification_id,
                state=to_state(standing.state),
                accept_time=to_timestamp(standing.accepted_unix_ms),
                deliveries=[to_receipt(receipt, self._scopes.app_names) for receipt in standing.receipts],
            )
        )

    async def CancelNotification(  # noqa: N802
        self, request: pb.CancelNotificationRequest, context: Context
    ) -> pb.CancelNotificationResponse:
        """Cancel what has not been sent."""
        cancelled, state = await self._tracking.cancel(_ident(request.notification_id), self._scope())
        return pb.CancelNotificationResponse(cancelled=cancelled, state=to_state(state))

    async def _told(self, receipts: list[Receipt]) -> list[receipt_pb2.Receipt]:
        told: list[receipt_pb2.Receipt] = []
        # One watcher at a time: hundreds that hear of the same thousand receipts would fill seconds of the loop.
        async with self._telling:
            for start in range(0, len(receipts), _STRIDE):
                told += [to_receipt(receipt, self._scopes.app_names) for receipt in receipts[start : start + _STRIDE]]
                await asyncio.sleep(0)
        return told

    async def _read(self, requests: AsyncIterator[pb.SendStreamRequest], scope: Scope, chunks: Chunks) -> None:
        expected: int | None = None
        trace = current_call.get()
        try:
            async for request in requests:
                if expected is not None and request.sequence != expected:
                    raise InvalidRequest("sequence", f"must be {expected}, one more than the chunk before")
                expected = request.sequence + 1
                if trace is not None:
                    # What takes the chunk in runs in a task of its own, which finds this.
                    current_call.set(trace.chunk(request.trace_contexts))
                await chunks.put(
                    (request.sequence, asyncio.ensure_future(self._take(scope, request.notifications)))
                )
        finally:
            await chunks.put(None)

    async def _take(self, scope: Scope, messages: Sequence[notification_pb2.Notification]) -> list[Taken]:
        if not 1 <= len(messages) <= MAX_BATCH:
            raise InvalidRequest("notifications", f"1 to {MAX_BATCH:,} in one request, not {len(messages):,}")
        return await self._intake.submit(scope, messages)

    def _scope(self) -> Scope:
        caller = current_caller.get()
        caller.require("send")
        return self._scopes.of(caller)

    def _reader(self) -> Caller:
        caller = current_caller.get()
        caller.require("read_receipts")
        return caller


def _drained(chunks: Chunks) -> Iterator[asyncio.Future[list[Taken]]]:
    while not chunks.empty():
        if (chunk := chunks.get_nowait()) is not None:
            yield chunk[1]


def _ident(text: str) -> bytes:
    try:
        return parse_id_text(text)
    except (ValueError, PushError):
        raise InvalidRequest("notification_id", "must be an id as Send returned it") from None
