"""`walletpush receipts`: follow how deliveries end, or ask for one notification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.connection import Connection
from gateway.commands.output import as_json, note, say
from gateway.commands.spread import spread

if TYPE_CHECKING:
    from gateway.client import NotificationReceipt, Receipt, Walletpush


@spread
def receipts(
    connection: Connection,
    notification_id: Annotated[str | None, typer.Argument(help="Only this notification, and where it stands.")] = None,
    start: Annotated[
        str, typer.Option("--from", help='Where to start: "now", "begin" (the oldest kept), or a cursor.')
    ] = "now",
    app: Annotated[str, typer.Option("--app", help="Only receipts of this app.")] = "",
    follow: Annotated[bool, typer.Option(help="Stay and follow, or end when all is told.")] = True,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Follow how deliveries end, across restarts of the gateway, until Ctrl-C.

    The cursor printed at the end goes on where this left off: walletpush receipts --from CURSOR.
    """
    cursor = "" if start == "now" else start
    last = cursor

    async def one(client: Walletpush) -> None:
        receipt = await client.get_receipt(notification_id or "")
        say(as_json(receipt) if json else standing(receipt))

    async def all_of_them(client: Walletpush) -> None:
        nonlocal last
        async for told in client.watch_receipts(cursor, app=app, until_caught_up=not follow):
            for receipt in told.receipts:
                say(as_json(receipt) if json else line(receipt))
            last = told.cursor

    try:
        connection.run(one if notification_id else all_of_them)
    finally:
        if last not in ("", cursor):
            note(f"cursor: {last}")


def line(receipt: Receipt) -> str:
    """Return a receipt as one line for people."""
    from gateway.client import DeliveryState
    from protos.walletpush.v1.notification_pb2 import Provider

    state = DeliveryState.Name(receipt.state).removeprefix("DELIVERY_STATE_").lower()
    provider = Provider.Name(receipt.provider).removeprefix("PROVIDER_").lower() if receipt.provider else "-"
    words = [receipt.time.ToJsonString(), receipt.notification_id, f"{state:<10}", f"{provider:<4}"]
    words += [receipt.device_key or "-" * 16, receipt.reason]
    words += [f"attempts={receipt.attempts}"] if receipt.attempts > 1 else []
    words += ["possibly delivered twice"] if receipt.possibly_delivered else []
    return " ".join(word for word in words if word)


def standing(receipt: NotificationReceipt) -> str:
    """Return where a notification stands and its ended deliveries, one a line."""
    from gateway.client import NotificationState

    state = NotificationState.Name(receipt.state).removeprefix("NOTIFICATION_STATE_").lower().replace("_", " ")
    head = f"{receipt.notification_id} is {state}, accepted at {receipt.accept_time.ToJsonString()}"
    return "\n".join([head, *(f"  {line(one)}" for one in receipt.deliveries)])
