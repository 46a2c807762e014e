"""`walletpush demo`: the whole gateway against simulated providers, with a realistic load and an account of it."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.commands.failure import BAD_RESULT, INTERRUPTED, CommandFailed


def demo(
    seconds: Annotated[float, typer.Option(min=4, max=600, help="How long the load lasts.")] = 24.0,
    campaign_size: Annotated[int, typer.Option(min=0, max=1_000_000, help="Devices of the campaign.")] = 100_000,
    workers: Annotated[int, typer.Option(min=1, max=8, help="Worker processes of the gateway.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print the account as JSON; progress goes to stderr.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep settings, journals and logs, and say where.")] = False,
) -> None:
    """Show the gateway at work: payments, alerts, a campaign, retries, dead tokens, a provider outage.

    Starts simulators of APNs and FCM and a gateway on loopback, in a temporary directory, and ends with a table of what
    happened. Exit code 1 if anything accepted was lost or sent twice.
    """
    from gateway.demo.plan import Plan
    from gateway.demo.run import StoppedError, run
    from gateway.demo.stage import StageFailedError

    try:
        raise typer.Exit(run(Plan(seconds, campaign_size, workers), json=json, keep=keep))
    except StageFailedError as failure:
        raise CommandFailed(f"the demonstration cannot start: {failure}", BAD_RESULT) from failure
    except StoppedError as stopped:
        raise typer.Exit(INTERRUPTED) from stopped
