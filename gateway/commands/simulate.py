"""`walletpush simulate`: stand-ins of APNs and FCM on this host."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.failure import BAD_SETTINGS, CommandFailed
from gateway.commands.spread import spread

if TYPE_CHECKING:
    from adapters.simulators.faults import Faults


class Mode(StrEnum):
    """How closely the stand-ins look."""

    TRUTHFUL = "truthful"
    COUNTING = "counting"
    FAST = "fast"


def _port(what: str) -> object:
    return typer.Option(min=0, max=65_535, help=f"Port of {what}; 0 is any free one.", show_default=False)


@dataclass(frozen=True, slots=True)
class PortOptions:
    """Where each stand-in listens."""

    apns_port: Annotated[int, _port("APNs")] = 0
    sandbox_port: Annotated[int, _port("APNs' sandbox")] = 0
    fcm_port: Annotated[int, _port("FCM")] = 0
    oauth_port: Annotated[int, _port("Google's token endpoint")] = 0
    control_port: Annotated[int, _port("the control API")] = 0


@spread
def simulate(
    directory: Annotated[Path, typer.Argument(help="Where credentials and ports.json are written.", file_okay=False)],
    ports: PortOptions,
    mode: Annotated[
        Mode, typer.Option(help="truthful checks and remembers all; counting checks; fast answers without a look.")
    ] = Mode.TRUTHFUL,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    topic: Annotated[list[str] | None, typer.Option(help="An APNs topic that exists; any if none is given.")] = None,
    faults: Annotated[
        str, typer.Option(help='How they misbehave, JSON: \'{"rate_503": 0.1, "latency": "fixed", "latency_ms": 20}\'.')
    ] = "{}",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the load.")] = 1,
    keep_times: Annotated[bool, typer.Option("--keep-times", help="Remember when each message came.")] = False,
) -> None:
    """Run stand-ins of APNs, its sandbox, FCM and Google's token endpoint, over TLS and HTTP/2, until Ctrl-C.

    They check what the real ones check. Their team is SIMTEAM001, their key SIMKEY0001, their FCM project
    walletpush-simulated. When ready one line of JSON tells the ports; the control port takes
    PUT /faults/apns and GET /ledger/apns, and the same for sandbox and fcm.
    """
    from adapters.simulators.server import simulate as run
    from adapters.simulators.settings import Ports, SimulatorSettings

    settings = SimulatorSettings(
        directory=directory,
        host=host,
        ports=Ports(*astuple(ports)),
        mode=mode.value,
        topics=frozenset(topic) if topic else None,
        keeps_times=keep_times,
        workers=workers,
        faults=_faults(faults),
    )
    try:
        run(settings)
    except OSError as error:
        raise CommandFailed(f"cannot start: {error.strerror or error}", BAD_SETTINGS) from error


def _faults(text: str) -> Faults:
    from pydantic import TypeAdapter, ValidationError

    from adapters.simulators.faults import Faults

    try:
        return TypeAdapter(Faults).validate_json(text)
    except ValidationError as error:
        lines = "\n".join(f"  {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise CommandFailed(f"--faults cannot be used:\n{lines}", BAD_SETTINGS) from error
