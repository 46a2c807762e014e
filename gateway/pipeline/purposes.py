"""What a notification says of itself, held to the app's categories and templates before it is accepted."""

from __future__ import annotations

from collections.abc import Mapping

from core.content.faults import Fault, TemplateRefused
from core.content.purpose import Purpose
from core.content.rendering import CompiledTemplate, check_values
from core.content.templates import Values
from core.errors import InvalidRequest
from core.model import NotificationClass
from core.policy.rules import AppRules
from gateway.convert_purpose import has_purpose, to_purpose
from gateway.template_book import TemplateBook
from protos.walletpush.v1 import notification_pb2 as pb


class Purposes:
    """Refuses what names a category or template that is not there or not of the notification's class."""

    def __init__(self, rules: Mapping[str, AppRules], book: TemplateBook) -> None:
        self._rules = rules
        self._book = book

    def set_rules(self, rules: Mapping[str, AppRules]) -> None:
        """Take the apps' rules after a reload."""
        self._rules = rules

    async def pinned(self, message: pb.Notification) -> pb.Notification:
        """Return the message with its category and its template's version as they are now, for the journal.

        A message that says nothing of itself is returned as it is. Raises InvalidRequest, Unavailable.
        """
        if not has_purpose(message) or message.app not in self._rules:
            return message
        purpose = to_purpose(message) or Purpose()
        if not purpose.template_id:
            self._check_category(message, purpose.category)
            return message
        template = await self._template(message, purpose)
        self._check_category(message, template.source.category)
        _check_variables(template, purpose)
        pinned = pb.Notification()
        pinned.CopyFrom(message)
        pinned.template.version = template.source.version
        pinned.category = template.source.category
        return pinned

    async def _template(self, message: pb.Notification, purpose: Purpose) -> CompiledTemplate:
        if purpose.template_version:
            found = await self._book.version(message.app, purpose.template_id, purpose.template_version)
        else:
            found = await self._book.current(message.app, purpose.template_id)
        if found is None:
            raise InvalidRequest("template.template_id", f"no template {purpose.template_id!r}, or it is retired")
        if found.source.klass != message.notification_class - 1:
            raise InvalidRequest("notification_class", f"the template's is {found.source.klass.name.lower()}")
        if purpose.category not in ("", found.source.category):
            raise InvalidRequest("category", f"the template's is {found.source.category}")
        return found

    def _check_category(self, message: pb.Notification, name: str) -> None:
        if not name:
            return
        category = self._rules[message.app].category(name)
        if category is None:
            raise InvalidRequest("category", f"the app has no category {name!r}")
        if category.klass != message.notification_class - 1:
            wanted = NotificationClass(category.klass).name.lower()
            raise InvalidRequest("category", f"{name} is {wanted}, the notification is not")


def _check_variables(template: CompiledTemplate, purpose: Purpose) -> None:
    faults = check_values(template, Values(data=purpose.variables))
    if faults:
        raise TemplateRefused(tuple(Fault(f"template.{one.field}", one.why) for one in faults), len(faults))
