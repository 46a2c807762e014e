"""PrivacyService: all that is held on a user, an end to it with a proof, and who looked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from core.audit import AuditLine, AuditLog
from core.errors import InvalidRequest, Overloaded, UnknownErasure
from core.hashing import SipHash
from core.privacy import Eraser, Erasure, subject_hash
from gateway.callers import current_caller
from gateway.fields import before_number, bounded, required
from gateway.interceptors import Context
from gateway.pipeline.clock import Clock
from gateway.privacy.export import ExportSource, export_chunks
from gateway.receipts import to_timestamp
from gateway.scopes import Scopes, require_app
from protos.walletpush.v1 import privacy_pb2 as pb
from protos.walletpush.v1.privacy_pb2_grpc import PrivacyServiceServicer

_DEFAULT_PAGE = 100
_MAX_PAGE = 1_000
# Each reads through all journals of the host.
_MAX_EXPORTS = 4


class PrivacyServicer(PrivacyServiceServicer):
    """Checks the caller and the request's fields. sources: every store with personal data. secret: the gateway's."""

    def __init__(
        self, sources: Sequence[ExportSource], eraser: Eraser, log: AuditLog, secret: SipHash, scopes: Scopes,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._sources = sources
        self._eraser = eraser
        self._log = log
        self._secret = secret
        self._scopes = scopes
        self._clock = clock
        self._exports = 0

    def set_scopes(self, scopes: Scopes) -> None:
        """Take new apps and callers after a reload."""
        self._scopes = scopes

    async def ExportUser(  # noqa: N802
        self, request: pb.ExportUserRequest, context: Context
    ) -> AsyncIterator[pb.ExportUserResponse]:
        """Give all that is held on a user, known or not."""
        app, user_id = self._app(request.app), required("user_id", request.user_id, 128)
        if self._exports >= _MAX_EXPORTS:
            raise Overloaded("the exports", 5_000)
        self._exports += 1
        try:
            async with aclosing(export_chunks(self._sources, app, user_id, self._clock.unix_ms())) as chunks:
                async for chunk in chunks:
                    yield pb.ExportUserResponse(chunk=chunk)
        finally:
            self._exports -= 1

    async def EraseUser(self, request: pb.EraseUserRequest, context: Context) -> pb.EraseUserResponse:  # noqa: N802
        """Erase a user."""
        app, user_id = self._app(request.app), required("user_id", request.user_id, 128)
        reason = required("reason", request.reason, 256)
        if user_id in reason:
            raise InvalidRequest("reason", "names the user, and would outlive them in the proof")
        erasure = await self._eraser.erase(app, user_id, reason, current_caller.get().name, self._clock.unix_ms())
        return pb.EraseUserResponse(erasure=_told(erasure))

    async def GetErasure(self, request: pb.GetErasureRequest, context: Context) -> pb.GetErasureResponse:  # noqa: N802
        """Return the newest proof."""
        app, user_id = self._app(request.app), required("user_id", request.user_id, 128)
        found = await self._eraser.find(app, user_id)
        if found is None:
            raise UnknownErasure("no user of the app with this id was erased, or the proof is past retention")
        return pb.GetErasureResponse(erasure=_told(found))

    async def ListAuditRecords(  # noqa: N802
        self, request: pb.ListAuditRecordsRequest, context: Context
    ) -> pb.ListAuditRecordsResponse:
        """Return who did what, newest first."""
        app, user_id = self._app(request.app), bounded("user_id", request.user_id, 128)
        if not 0 <= request.page_size <= _MAX_PAGE:
            raise InvalidRequest("page_size", f"must lie between 0 and {_MAX_PAGE:,}")
        limit = request.page_size or _DEFAULT_PAGE
        subject = subject_hash(self._secret, app, user_id) if user_id else ""
        links = await self._log.lines(app, subject, before_number("page_token", request.page_token), limit + 1)
        more = str(links[limit - 1].number) if len(links) > limit else ""
        return pb.ListAuditRecordsResponse(records=[_record(one.line) for one in links[:limit]], next_page_token=more)

    def _app(self, app: str) -> str:
        caller = current_caller.get()
        caller.require("manage_privacy")
        return require_app(self._scopes.of(caller), "app", app)


def _told(erasure: Erasure) -> pb.Erasure:
    return pb.Erasure(
        subject_hash=erasure.subject_hash, erase_time=to_timestamp(erasure.erased_unix_ms),
        removed_counts=erasure.removed_counts, actor=erasure.actor, reason=erasure.reason, signature=erasure.signature,
    )  # fmt: skip


def _record(line: AuditLine) -> pb.AuditRecord:
    return pb.AuditRecord(
        time=to_timestamp(line.at_unix_ms), actor=line.actor, action=line.action, subject_hash=line.subject_hash,
        detail=line.detail,
    )  # fmt: skip
