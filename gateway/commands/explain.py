"""`walletpush explain`: why a user would hear of something, or would not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.connection import Connection
from gateway.commands.failure import BAD_RESULT
from gateway.commands.message import Message
from gateway.commands.output import as_json, say, table
from gateway.commands.spread import spread
from gateway.commands.target import App
from gateway.commands.variables import Category, Tags, Template, Variables, use

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from gateway.client import Walletpush
    from protos.walletpush.v1 import policy_pb2

User = Annotated[str, typer.Argument(help="The user's id.", show_default=False)]


@spread
def explain(
    connection: Connection,
    message: Message,
    app: App,
    user: User,
    template: Template = "",
    variables: Variables = None,
    category: Category = "",
    tag: Tags = None,
    at: Annotated[str, typer.Option(help="When: 2026-03-01T03:00+08:00; without an offset UTC. Default: now.")] = "",
    json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Take a notification for one user through every gate; nothing is sent or counted.

    The exit code is 0 if it would be sent then, and 1 if it would wait, or not be sent at all.
    """
    notification, moment = message.build(), to_moment(at) if at else None
    notification.app, notification.category = app, category
    notification.user_ids.append(user)
    notification.tags.extend(tag or ())
    # Never kept: the contract wants one of whatever is sent.
    notification.idempotency_key = notification.idempotency_key or "explain"
    if not notification.content.title and not notification.content.body:
        notification.content.title = "-"

    async def work(client: Walletpush) -> None:
        if template:
            await use(client, notification, template, variables or [])
        explained = await client.explain(notification, moment)
        say(as_json(explained)) if json else show(explained)
        if _verdict(explained.decision) != "pass":
            raise typer.Exit(BAD_RESULT)

    connection.run(work)


def to_moment(text: str) -> Timestamp:
    """Read an ISO 8601 moment. Raises BadParameter."""
    from datetime import UTC, datetime

    from google.protobuf.timestamp_pb2 import Timestamp

    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"--at: {error}") from None
    moment = Timestamp()
    moment.FromDatetime(found if found.tzinfo else found.replace(tzinfo=UTC))
    return moment


def show(explained: policy_pb2.ExplainNotificationResponse) -> None:
    """Print the gates in their order, the decision, and what each device would get."""
    rows = [(one.gate, _verdict(one), one.reason, one.detail) for one in explained.gates]
    table(("gate", "verdict", "reason", "because"), rows)
    decision = explained.decision
    until = f" until {decision.until.ToJsonString()}" if decision.HasField("until") else ""
    if _verdict(decision) == "pass":
        say("sent at once")
    else:
        say(f"{_verdict(decision)}{until}: {decision.reason}, by {decision.gate}")
    say(f"locale {explained.locale}, time zone {explained.time_zone}")
    for device in explained.devices:
        say(f"device {device.device_key}: {device.refusal or device.payload_json}")


def _verdict(one: policy_pb2.GateVerdict) -> str:
    from protos.walletpush.v1 import policy_pb2

    return policy_pb2.Verdict.Name(one.verdict).removeprefix("VERDICT_").lower()
