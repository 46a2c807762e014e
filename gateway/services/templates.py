"""TemplateService: what notifications say, published, listed and previewed."""

from __future__ import annotations

from collections.abc import Mapping

from core.content.faults import TemplateRefused
from core.content.preview import Preview, preview
from core.content.privacy import Privacy
from core.content.rendered import Reader
from core.content.rendering import CompiledTemplate
from core.content.store import StoredTemplate, TemplateStore
from core.content.templates import Values
from core.errors import InvalidRequest, UnknownTemplate
from core.people import RecipientSource
from core.policy.people import Recipient
from core.policy.rules import AppRules
from gateway.callers import current_caller
from gateway.convert import Scope
from gateway.convert_templates import from_stored, refusal, to_channel, to_source
from gateway.convert_values import to_raws
from gateway.fields import bounded, required
from gateway.interceptors import Context
from gateway.pipeline.clock import Clock
from gateway.scopes import Scopes, require_app
from gateway.template_book import TemplateBook
from protos.walletpush.v1 import template_pb2 as pb
from protos.walletpush.v1.template_pb2_grpc import TemplateServiceServicer

_DEFAULT_PAGE = 100
_MAX_PAGE = 1_000
_NOBODY = Recipient("")


class TemplateServicer(TemplateServiceServicer):
    """Checks templates before they are stored. rules: of each configured app."""

    def __init__(
        self, store: TemplateStore, book: TemplateBook, people: RecipientSource, rules: Mapping[str, AppRules],
        scopes: Scopes, clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._book = book
        self._people = people
        self._rules = rules
        self._scopes = scopes
        self._clock = clock

    def set_scopes(self, scopes: Scopes) -> None:
        """Take new apps and callers after a reload."""
        self._scopes = scopes

    def set_rules(self, rules: Mapping[str, AppRules]) -> None:
        """Take the apps' rules after a reload."""
        self._rules = rules

    async def PublishTemplate(  # noqa: N802
        self, request: pb.PublishTemplateRequest, context: Context
    ) -> pb.PublishTemplateResponse:
        """Check a template and make it the current version."""
        scope = self._scope()
        stored = self._given(scope, "template", request.template)
        await self._checked("template", stored)
        if not request.validate_only:
            publisher = current_caller.get().name
            stored = await self._store.publish(stored.app, stored.source, publisher, self._clock.unix_ms())
            self._book.changed(stored.app, stored.source.template_id)
        return pb.PublishTemplateResponse(template=from_stored(stored))

    async def GetTemplate(self, request: pb.GetTemplateRequest, context: Context) -> pb.GetTemplateResponse:  # noqa: N802
        """Return a version."""
        app = require_app(self._scope(), "app", request.app)
        if request.version < 0:
            raise InvalidRequest("version", "must not be negative")
        stored = await self._store.get(app, required("template_id", request.template_id, 64), request.version)
        if stored is None:
            raise _unknown(request.template_id, request.version)
        return pb.GetTemplateResponse(template=from_stored(stored))

    async def ListTemplates(  # noqa: N802
        self, request: pb.ListTemplatesRequest, context: Context
    ) -> pb.ListTemplatesResponse:
        """List an app's templates."""
        app = require_app(self._scope(), "app", request.app)
        if not 0 <= request.page_size <= _MAX_PAGE:
            raise InvalidRequest("page_size", f"must lie between 0 and {_MAX_PAGE:,}")
        limit = request.page_size or _DEFAULT_PAGE
        found = await self._store.list_current(app, bounded("page_token", request.page_token, 64), limit + 1)
        more = found[limit - 1].source.template_id if len(found) > limit else ""
        return pb.ListTemplatesResponse(
            templates=[from_stored(one, bodies=False) for one in found[:limit]], next_page_token=more
        )

    async def RetireTemplate(  # noqa: N802
        self, request: pb.RetireTemplateRequest, context: Context
    ) -> pb.RetireTemplateResponse:
        """Take no more notifications for a template."""
        app = require_app(self._scope(), "app", request.app)
        if not await self._store.retire(app, required("template_id", request.template_id, 64)):
            raise _unknown(request.template_id)
        self._book.changed(app, request.template_id)
        return pb.RetireTemplateResponse()

    async def PreviewTemplate(  # noqa: N802
        self, request: pb.PreviewTemplateRequest, context: Context
    ) -> pb.PreviewTemplateResponse:
        """Render what a user would see."""
        app = require_app(self._scope(), "app", request.app)
        compiled = await self._previewed(app, request)
        user = await self._user(app, bounded("user_id", request.user_id, 128))
        reader = Reader(
            bounded("locale", request.locale, 35) or user.locale,
            bounded("time_zone", request.time_zone, 64) or user.time_zone or self._rules[app].time_zone,
            user.currency or self._rules[app].currency, Privacy.MASKED if request.masked else Privacy.FULL,
        )  # fmt: skip
        values = Values(data=to_raws("variables", request.variables), user=user.attributes)
        channel = to_channel("channel", request.channel)
        return _shown(preview(compiled, channel, reader, values, self._clock.unix_ms() // 1_000))

    def _scope(self) -> Scope:
        caller = current_caller.get()
        caller.require("manage_templates")
        return self._scopes.of(caller)

    def _given(self, scope: Scope, field: str, told: pb.Template) -> StoredTemplate:
        app = require_app(scope, f"{field}.app", told.app)
        source = to_source(field, told)
        category = self._rules[app].category(source.category)
        if category is None:
            raise InvalidRequest(f"{field}.category", f"the app has no category {source.category[:64]!r}")
        if category.klass != source.klass:
            raise InvalidRequest(
                f"{field}.category", f"{category.name} is {category.klass.name.lower()}, the template is not"
            )
        return StoredTemplate(app, source, 0, "", 0, retired=False)

    async def _checked(self, field: str, stored: StoredTemplate) -> CompiledTemplate:
        try:
            return await self._book.compile(stored)
        except TemplateRefused as refused:
            raise refusal(field, refused) from None

    async def _previewed(self, app: str, request: pb.PreviewTemplateRequest) -> CompiledTemplate:
        if request.WhichOneof("source") == "template":
            stored = self._given(self._scope(), "template", request.template)
            return await self._checked("template", stored)
        compiled = await self._book.current(app, required("template_id", request.template_id, 64))
        if compiled is None:
            raise _unknown(request.template_id)
        return compiled

    async def _user(self, app: str, user_id: str) -> Recipient:
        if not user_id:
            return _NOBODY
        # A text may show any attribute of theirs.
        current_caller.get().require("manage_users")
        found = await self._people.recipients(app, [user_id], attributes=True)
        return found.get(user_id, _NOBODY)


def _shown(shown: Preview) -> pb.PreviewTemplateResponse:
    rendered = shown.rendered
    return pb.PreviewTemplateResponse(
        locale=rendered.locale, title=rendered.title, subtitle=rendered.subtitle, body=rendered.body,
        html=rendered.html, image_url=rendered.image_url, deep_link=rendered.deep_link,
        buttons=[pb.ActionButton(label=one.label, link=one.link) for one in rendered.buttons], warnings=shown.warnings,
    )  # fmt: skip


def _unknown(template_id: str, version: int = 0) -> UnknownTemplate:
    wanted = f"{template_id!r}, version {version}" if version else f"{template_id!r}"
    return UnknownTemplate(f"the app has no template {wanted}")
