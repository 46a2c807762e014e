"""A device named on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gateway.client import DeviceToken

App = Annotated[str, typer.Option("--app", help="The app, by its id in the settings.")]
User = Annotated[str, typer.Option("--user", help="The user's id.")]
ApnsToken = Annotated[str | None, typer.Option("--apns-token", help="An Apple device, by its token in hexadecimal.")]
FcmToken = Annotated[str | None, typer.Option("--fcm-token", help="An Android or web device, by its token.")]
Sandbox = Annotated[bool, typer.Option("--sandbox", help="The Apple token belongs to a development build.")]


def the_device(apns_token: str | None, fcm_token: str | None, sandbox: bool) -> DeviceToken:
    """Return the one device that is named. Raises BadParameter for none or two."""
    from gateway.client import tokens

    if apns_token and not fcm_token:
        return tokens.apns_token(apns_token, sandbox=sandbox)
    if fcm_token and not apns_token:
        return tokens.fcm_token(fcm_token)
    raise typer.BadParameter("name one device with --apns-token or --fcm-token")
