"""`walletpush send`: send one notification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.connection import Connection
from gateway.commands.failure import BAD_RESULT
from gateway.commands.message import Message
from gateway.commands.output import as_json, say
from gateway.commands.spread import spread
from gateway.commands.target import ApnsToken, App, FcmToken, Sandbox, the_device
from gateway.commands.variables import Category, Tags, Template, Variables, use

if TYPE_CHECKING:
    from gateway.client import Accepted, Walletpush

# Receipts are asked for at this interval while --wait waits.
POLL_S = 0.2
Users = Annotated[
    list[str] | None, typer.Option("--user", metavar="ID", help="A user, all of whose devices hear it; repeatable.")
]


@spread
def send(
    app: App,
    message: Message,
    connection: Connection,
    user: Users = None,
    apns_token: ApnsToken = None,
    fcm_token: FcmToken = None,
    sandbox: Sandbox = False,
    template: Template = "",
    variables: Variables = None,
    category: Category = "",
    tag: Tags = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its receipts, at most for --wait-s.")] = False,
    wait_s: Annotated[float, typer.Option(min=0, help="Seconds to wait.")] = 30.0,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Send one notification and print its id; it is durable then.

    It says --title and --body, or what a --template says to each --user.
    With --wait the exit code is 1 unless all its deliveries were accepted by the providers.
    """
    notification = message.build()
    if template and notification.content.ByteSize():
        raise typer.BadParameter("a template brings its own content: leave out --title, --body and what else is shown")
    notification.app, notification.category = app, category
    notification.tags.extend(tag or ())
    notification.user_ids.extend(user or ())
    if apns_token or fcm_token or not user:
        notification.devices.append(the_device(apns_token, fcm_token, sandbox))

    async def work(client: Walletpush) -> None:
        if template:
            await use(client, notification, template, variables or [])
        taken = await client.send_now(notification)
        _tell(taken, json)
        if wait and not await _is_delivered(client, taken.id, wait_s, json):
            raise typer.Exit(BAD_RESULT)

    connection.run(work)


def _tell(taken: Accepted, json: bool) -> None:
    if json:
        import orjson

        say(orjson.dumps({"notification_id": taken.id, "duplicate": taken.duplicate}).decode())
    else:
        say(f"{taken.id} {'known already, nothing is sent twice' if taken.duplicate else 'accepted'}")


async def _is_delivered(client: Walletpush, notification_id: str, wait_s: float, json: bool) -> bool:
    import asyncio

    from gateway.client import NotificationState
    from gateway.commands.receipts import standing

    open_states = (NotificationState.NOTIFICATION_STATE_ACCEPTED, NotificationState.NOTIFICATION_STATE_SCHEDULED)
    deadline_s = asyncio.get_running_loop().time() + wait_s
    receipt = await client.get_receipt(notification_id)
    while receipt.state in open_states and asyncio.get_running_loop().time() < deadline_s:
        await asyncio.sleep(POLL_S)
        receipt = await client.get_receipt(notification_id)
    say(as_json(receipt) if json else standing(receipt))
    return receipt.state == NotificationState.NOTIFICATION_STATE_DELIVERED
