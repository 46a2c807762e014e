"""`walletpush devices`: register, unregister and list the devices of users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.connection import Connection
from gateway.commands.output import as_json, say, table
from gateway.commands.spread import spread
from gateway.commands.target import ApnsToken, App, FcmToken, Sandbox, User, the_device

if TYPE_CHECKING:
    from gateway.client import Device, Walletpush

app = typer.Typer(name="devices", help="Register, unregister and list the devices of users.", no_args_is_help=True)
COLUMNS = ("provider", "token", "locale", "time zone", "version", "registered")


@app.command("register")
@spread
def register(
    connection: Connection,
    app: App,
    user: User,
    apns_token: ApnsToken = None,
    fcm_token: FcmToken = None,
    sandbox: Sandbox = False,
    locale: Annotated[str, typer.Option(help="BCP 47 tag, for instance zh-CN.")] = "",
    time_zone: Annotated[str, typer.Option(help="IANA time zone, for instance Asia/Shanghai.")] = "",
    app_version: Annotated[str, typer.Option(help="The app's version.")] = "",
) -> None:
    """Register a user's device, or renew it."""
    from gateway.client import Device

    device = Device(
        app=app,
        user_id=user,
        token=the_device(apns_token, fcm_token, sandbox),
        locale=locale,
        time_zone=time_zone,
        app_version=app_version,
    )

    async def work(client: Walletpush) -> None:
        stored = await client.register_device(device)
        say(f"registered for {stored.user_id} at {stored.register_time.ToJsonString()}")

    connection.run(work)


@app.command("unregister")
@spread
def unregister(
    connection: Connection,
    app: App,
    apns_token: ApnsToken = None,
    fcm_token: FcmToken = None,
    sandbox: Sandbox = False,
) -> None:
    """Remove a device, at sign-out for instance."""
    token = the_device(apns_token, fcm_token, sandbox)

    async def work(client: Walletpush) -> None:
        say("removed" if await client.unregister_device(app, token) else "it was not registered")

    connection.run(work)


@app.command("list")
@spread
def list_devices(
    connection: Connection,
    app: App,
    user: User,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List a user's devices, newest first."""

    async def work(client: Walletpush) -> None:
        devices = await client.list_devices(app, user)
        if json:
            for device in devices:
                say(as_json(device))
        elif devices:
            table(COLUMNS, [_row(device) for device in devices])
        else:
            say(f"{user} has no devices")

    connection.run(work)


def _row(device: Device) -> tuple[str, ...]:
    from protos.walletpush.v1.notification_pb2 import ENVIRONMENT_SANDBOX, PROVIDER_APNS

    provider = "apns" if device.token.provider == PROVIDER_APNS else "fcm"
    if device.token.environment == ENVIRONMENT_SANDBOX:
        provider += " sandbox"
    when = device.register_time.ToJsonString()
    return (provider, device.token.token, device.locale, device.time_zone, device.app_version, when)
