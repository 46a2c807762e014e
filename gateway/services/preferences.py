"""PreferenceService: what users want to hear of, with the proof that they said so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from core.errors import InvalidRequest
from core.people import Consent, PreferenceStore, RecipientSource
from core.policy.people import QuietWindow, Recipient
from core.policy.rules import AppRules
from gateway.callers import current_caller
from gateway.convert_preferences import (
    MAX_CONSENTS,
    MAX_WINDOWS,
    from_category,
    from_consent,
    from_preferences,
    to_consent,
    to_scope,
    to_suppression,
    to_window,
)
from gateway.fields import before_number, bounded, required
from gateway.interceptors import Context
from gateway.pipeline.clock import Clock
from gateway.receipts import to_timestamp
from gateway.scopes import Scopes, require_app
from protos.walletpush.v1 import preference_pb2 as pb
from protos.walletpush.v1.preference_pb2_grpc import PreferenceServiceServicer

_DEFAULT_PAGE = 100
_MAX_PAGE = 1_000


class PreferenceBook(PreferenceStore, Protocol):
    """Keeps what users said, windows and consents of one request in one commit."""

    async def update(
        self, app: str, user_id: str, consents: Sequence[Consent], windows: Sequence[QuietWindow] | None,
        now_unix_ms: int,
    ) -> None:  # fmt: skip
        """Record consents and, unless None, replace the windows; create the user. Raises Unavailable."""


class Links(NamedTuple):
    """Signed links and when they end."""

    unsubscribe_url: str
    preference_centre_url: str
    expire_unix_ms: int


class LinkMaker(Protocol):
    """Makes the links that a message carries."""

    def make(self, app: str, user_id: str, category: str, channel: int, now_unix_ms: int) -> Links:
        """Return links for a user; category and channel: what one click unsubscribes from, "" and 0 for all."""


class PreferenceServicer(PreferenceServiceServicer):
    """Checks the caller and the request's fields. rules: of each app as configured now."""

    def __init__(
        self, store: PreferenceBook, people: RecipientSource, rules: Mapping[str, AppRules], links: LinkMaker,
        scopes: Scopes, clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._people = people
        self._rules = rules
        self._links = links
        self._scopes = scopes
        self._clock = clock

    def set_scopes(self, scopes: Scopes) -> None:
        """Take new apps and callers after a reload."""
        self._scopes = scopes

    async def GetPreferences(  # noqa: N802
        self, request: pb.GetPreferencesRequest, context: Context
    ) -> pb.GetPreferencesResponse:
        """Return what is in force."""
        rules = self._app(request.app)
        return await self._in_force(rules, required("user_id", request.user_id, 128))

    async def UpdatePreferences(  # noqa: N802
        self, request: pb.UpdatePreferencesRequest, context: Context
    ) -> pb.UpdatePreferencesResponse:
        """Record what a user said."""
        rules, now_unix_ms = self._app(request.app), self._clock.unix_ms()
        user_id = required("user_id", request.user_id, 128)
        if len(request.consents) > MAX_CONSENTS:
            raise InvalidRequest("consents", f"at most {MAX_CONSENTS}, not {len(request.consents):,}")
        if len(request.quiet_windows) > MAX_WINDOWS:
            raise InvalidRequest("quiet_windows", f"at most {MAX_WINDOWS}, not {len(request.quiet_windows):,}")
        if request.quiet_windows and not request.set_quiet_windows:
            raise InvalidRequest("set_quiet_windows", "must be true where windows are given")
        caller = current_caller.get().name
        consents = [
            to_consent(f"consents[{n}]", one, rules, caller, now_unix_ms) for n, one in enumerate(request.consents)
        ]
        windows = [to_window(f"quiet_windows[{n}]", one, rules) for n, one in enumerate(request.quiet_windows)]
        await self._store.update(
            rules.app, user_id, consents, windows if request.set_quiet_windows else None, now_unix_ms
        )
        return pb.UpdatePreferencesResponse(preferences=await self._in_force(rules, user_id))

    async def ListConsentHistory(  # noqa: N802
        self, request: pb.ListConsentHistoryRequest, context: Context
    ) -> pb.ListConsentHistoryResponse:
        """Return what was said, newest first."""
        rules = self._app(request.app)
        user_id = required("user_id", request.user_id, 128)
        if not 0 <= request.page_size <= _MAX_PAGE:
            raise InvalidRequest("page_size", f"must lie between 0 and {_MAX_PAGE:,}")
        limit = request.page_size or _DEFAULT_PAGE
        before = before_number("page_token", request.page_token)
        lines = await self._store.history(rules.app, user_id, before, limit + 1)
        more = str(lines[limit - 1][0]) if len(lines) > limit else ""
        return pb.ListConsentHistoryResponse(
            consents=[from_consent(consent) for _, consent in lines[:limit]], next_page_token=more
        )

    async def AddSuppression(  # noqa: N802
        self, request: pb.AddSuppressionRequest, context: Context
    ) -> pb.AddSuppressionResponse:
        """Suppress a user, or a part of what they hear."""
        rules = self._app(request.app)
        user_id = required("user_id", request.user_id, 128)
        suppression = to_suppression("suppression", request.suppression, rules, self._clock.unix_ms())
        await self._store.suppress(rules.app, user_id, suppression)
        return pb.AddSuppressionResponse()

    async def RemoveSuppression(  # noqa: N802
        self, request: pb.RemoveSuppressionRequest, context: Context
    ) -> pb.RemoveSuppressionResponse:
        """Take a suppression back."""
        rules = self._app(request.app)
        user_id = required("user_id", request.user_id, 128)
        # Its category may have left the settings since.
        category = bounded("category", request.category, 64)
        _, channel = to_scope("", "", request.channel, rules)
        return pb.RemoveSuppressionResponse(
            removed=await self._store.unsuppress(rules.app, user_id, category, channel)
        )

    async def CreatePreferenceLinks(  # noqa: N802
        self, request: pb.CreatePreferenceLinksRequest, context: Context
    ) -> pb.CreatePreferenceLinksResponse:
        """Make the links that a message carries."""
        rules = self._app(request.app)
        user_id = required("user_id", request.user_id, 128)
        category, channel = to_scope("", request.category, request.channel, rules)
        links = self._links.make(rules.app, user_id, category, channel, self._clock.unix_ms())
        return pb.CreatePreferenceLinksResponse(
            unsubscribe_url=links.unsubscribe_url, preference_centre_url=links.preference_centre_url,
            expire_time=to_timestamp(links.expire_unix_ms),
        )  # fmt: skip

    async def ListCategories(  # noqa: N802
        self, request: pb.ListCategoriesRequest, context: Context
    ) -> pb.ListCategoriesResponse:
        """List an app's categories."""
        return pb.ListCategoriesResponse(categories=[from_category(one) for one in self._app(request.app).categories])

    async def ReportFeedback(  # noqa: N802
        self, request: pb.ReportFeedbackRequest, context: Context
    ) -> pb.ReportFeedbackResponse:
        """Note whether a user finds it too many."""
        rules = self._app(request.app)
        user_id = required("user_id", request.user_id, 128)
        await self._store.set_too_many(rules.app, user_id, request.too_many)
        user = await self._recipient(rules.app, user_id)
        cap = rules.adaptive.limit(user.last_open_unix_ms, user.too_many, self._clock.unix_ms())
        return pb.ReportFeedbackResponse(weekly_cap=cap)

    async def _in_force(self, rules: AppRules, user_id: str) -> pb.GetPreferencesResponse:
        return from_preferences(await self._recipient(rules.app, user_id), rules, self._clock.unix_ms())

    async def _recipient(self, app: str, user_id: str) -> Recipient:
        found = await self._people.recipients(app, [user_id], attributes=False)
        return found.get(user_id) or Recipient(user_id)

    def _app(self, app: str) -> AppRules:
        caller = current_caller.get()
        caller.require("manage_users")
        return self._rules[require_app(self._scopes.of(caller), "app", app)]
