"""The client's preferences: what users said, what is in force, and the proof."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import grpc

from protos.walletpush.v1 import preference_pb2 as pb
from protos.walletpush.v1.preference_pb2_grpc import PreferenceServiceStub

# (method, request) -> answer, with the client's key, deadline and retries.
Call = Callable[[Callable[..., Any], object], Awaitable[Any]]


class Preferences:
    """`client.preferences`; its methods raise the errors of `gateway.client.errors`."""

    def __init__(self, channel: grpc.aio.Channel, call: Call) -> None:
        self._stub = PreferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        self._call = call

    async def get(self, app: str, user_id: str) -> pb.GetPreferencesResponse:
        """Return what is in force for a user, known or not."""
        request = pb.GetPreferencesRequest(app=app, user_id=user_id)
        answer: pb.GetPreferencesResponse = await self._call(self._stub.GetPreferences, request)
        return answer

    async def update(
        self, app: str, user_id: str, consents: Iterable[pb.Consent] = (),
        quiet_windows: Iterable[pb.QuietWindow] | None = None,
    ) -> pb.GetPreferencesResponse:  # fmt: skip
        """Record consents and, unless None, replace the windows; return what is in force then.

        A call that is repeated after a lost answer may leave a line twice in the history.
        """
        request = pb.UpdatePreferencesRequest(
            app=app, user_id=user_id, consents=consents, quiet_windows=quiet_windows or (),
            set_quiet_windows=quiet_windows is not None,
        )  # fmt: skip
        answer: pb.UpdatePreferencesResponse = await self._call(self._stub.UpdatePreferences, request)
        return answer.preferences

    async def history(self, app: str, user_id: str) -> AsyncIterator[pb.Consent]:
        """Give what a user said, newest first."""
        request = pb.ListConsentHistoryRequest(app=app, user_id=user_id)
        while True:
            answer: pb.ListConsentHistoryResponse = await self._call(self._stub.ListConsentHistory, request)
            for consent in answer.consents:
                yield consent
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    async def suppress(self, app: str, user_id: str, suppression: pb.Suppression) -> None:
        """Suppress a user, or a part of what they hear."""
        request = pb.AddSuppressionRequest(app=app, user_id=user_id, suppression=suppression)
        await self._call(self._stub.AddSuppression, request)

    async def unsuppress(self, app: str, user_id: str, category: str = "", channel: pb.Channel | None = None) -> bool:
        """Take a suppression back; tell whether there was one."""
        request = pb.RemoveSuppressionRequest(app=app, user_id=user_id, category=category, channel=channel)
        answer: pb.RemoveSuppressionResponse = await self._call(self._stub.RemoveSuppression, request)
        return answer.removed

    async def links(
        self, app: str, user_id: str, category: str = "", channel: pb.Channel | None = None
    ) -> pb.CreatePreferenceLinksResponse:
        """Make the signed links that a message carries; one click unsubscribes from category and channel."""
        request = pb.CreatePreferenceLinksRequest(app=app, user_id=user_id, category=category, channel=channel)
        answer: pb.CreatePreferenceLinksResponse = await self._call(self._stub.CreatePreferenceLinks, request)
        return answer

    async def categories(self, app: str) -> list[pb.Category]:
        """Return an app's categories."""
        answer: pb.ListCategoriesResponse = await self._call(
            self._stub.ListCategories, pb.ListCategoriesRequest(app=app)
        )
        return list(answer.categories)

    async def report_feedback(self, app: str, user_id: str, *, too_many: bool) -> int:
        """Note whether a user finds it too many; return how many marketing notifications a week they may get."""
        request = pb.ReportFeedbackRequest(app=app, user_id=user_id, too_many=too_many)
        answer: pb.ReportFeedbackResponse = await self._call(self._stub.ReportFeedback, request)
        return answer.weekly_cap
