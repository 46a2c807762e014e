"""`walletpush holds`: dead tokens that the mass-death guard keeps from being removed."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.commands.failure import UNREACHABLE, CommandFailed, settings_failures
from gateway.commands.output import say, table
from gateway.commands.serve import ConfigFile

app = typer.Typer(name="holds", help="Dead tokens that the mass-death guard holds back.", no_args_is_help=True)
Action = Literal["list", "release", "forget"]
AppId = Annotated[str, typer.Argument(help="The app whose hold ends.", show_default=False)]


@app.command("list")
def list_holds(config: ConfigFile) -> None:
    """List the apps of which an unlikely share of tokens died at once, on this host."""
    held = _ask(config, "list", "")
    if held:
        table(("app", "tokens held"), [(name, f"{count:,}") for name, count in sorted(held.items())])
    else:
        say("nothing is held back")


@app.command("release")
def release(config: ConfigFile, app_id: AppId) -> None:
    """The deaths are real: remove the tokens."""
    say(f"{_ask(config, 'release', app_id)[app_id]:,} tokens will be removed")


@app.command("forget")
def forget(config: ConfigFile, app_id: AppId) -> None:
    """The deaths were a fault of ours, a wrong credential for instance: keep the tokens."""
    say(f"{_ask(config, 'forget', app_id)[app_id]:,} tokens are kept")


def _ask(config: Path, action: Action, app_id: str) -> Counter[str]:
    with settings_failures(config):
        from core.errors import Unavailable
        from gateway.settings.loading import load

        # A gateway that runs judged its own exposure when it started.
        settings = load(config, insecure=True)
    run_dir = settings.data_dir / "run"
    numbers = sorted(int(path.stem.removeprefix("worker-")) for path in run_dir.glob("worker-*.sock"))
    try:
        return asyncio.run(_ask_all(run_dir, numbers, action, app_id))
    except Unavailable as error:
        raise CommandFailed(f"{error}. Is the gateway running on this host?", UNREACHABLE) from error


async def _ask_all(run_dir: Path, numbers: list[int], action: Action, app_id: str) -> Counter[str]:
    from core.errors import Unavailable
    from gateway.peers import Peers
    from protos.walletpush.internal.v1 import worker_pb2 as pb

    actions = {
        "list": pb.HOLD_ACTION_UNSPECIFIED,
        "release": pb.HOLD_ACTION_RELEASE,
        "forget": pb.HOLD_ACTION_FORGET,
    }
    if not numbers:
        raise Unavailable(f"no worker has a socket in {run_dir}")
    peers = Peers(run_dir)
    try:
        held: Counter[str] = Counter()
        for number in numbers:
            held.update(await peers.holds(number, actions[action], app_id))
        return held
    finally:
        await peers.close()
