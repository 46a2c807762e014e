"""The options that say what a notification says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gateway.client import Notification


class Class(StrEnum):
    """What a notification is for."""

    SECURITY = "security"
    TRANSACTIONAL = "transactional"
    SERVICE = "service"
    MARKETING = "marketing"


def _option(text: str, *names: str, metavar: str | None = None) -> object:
    return typer.Option(*names, help=text, metavar=metavar)


@dataclass(frozen=True, slots=True)
class Message:
    """A notification but for whom and which app it is for."""

    kind: Annotated[Class, _option("Decides its lane.", "--class")] = Class.TRANSACTIONAL
    title: Annotated[str, _option("Headline.")] = ""
    body: Annotated[str, _option("Text.")] = ""
    image: Annotated[str, _option("https URL of an image.")] = ""
    deep_link: Annotated[str, _option("URI that opening it leads to.")] = ""
    sound: Annotated[str, _option('Sound file in the app, or "default".')] = ""
    badge: Annotated[int | None, _option("Number on the app's icon.")] = None
    data: Annotated[list[str] | None, _option("Data for the app.", "--data", metavar="NAME=VALUE")] = None
    campaign: Annotated[str, _option("The campaign it belongs to.")] = ""
    collapse_key: Annotated[str, _option("Replaces an earlier one with the same key.")] = ""
    ttl: Annotated[int | None, _option("Seconds it is worth delivering. Default: one day.")] = None
    key: Annotated[str, _option("Idempotency key. Default: a new UUID.")] = ""

    def build(self) -> Notification:
        """Make the notification. Raises BadParameter for data that has no name."""
        from gateway.client import Content, Notification
        from protos.walletpush.v1 import notification_pb2 as pb

        made = Notification(
            idempotency_key=self.key,
            notification_class=getattr(pb, f"NOTIFICATION_CLASS_{self.kind.name}"),
            content=Content(
                title=self.title,
                body=self.body,
                image_url=self.image,
                deep_link=self.deep_link,
                sound=self.sound,
                badge=self.badge,
                data=dict(self._pairs()),
            ),
            campaign_id=self.campaign,
            collapse_key=self.collapse_key,
        )
        if self.ttl is not None:
            made.ttl.FromSeconds(self.ttl)
        return made

    def _pairs(self) -> Iterator[tuple[str, str]]:
        for one in self.data or ():
            name, equals, value = one.partition("=")
            if not equals:
                raise typer.BadParameter(f"{one} is not NAME=VALUE")
            yield name, value
