"""`walletpush config`: check settings, show them, write an example."""

from __future__ import annotations

import typer

from gateway.commands.failure import settings_failures
from gateway.commands.output import say
from gateway.commands.serve import ConfigFile, Insecure

app = typer.Typer(name="config", help="Check settings, show them, write an example.", no_args_is_help=True)


@app.command("check")
def check(config: ConfigFile, insecure: Insecure = False) -> None:
    """Say everything that is wrong with the settings, or that nothing is."""
    with settings_failures(config):
        from gateway.settings.loading import load

        settings = load(config, insecure=insecure)
    apps, callers = len(settings.apps), len(settings.callers)
    listen, workers = settings.server.listen, settings.server.workers
    say(f"{config} is good: apps {apps}, callers {callers}, listens on {listen}, workers {workers}")
    if not apps:
        say("It names no app yet, so every notification would be refused.")


@app.command("show")
def show(config: ConfigFile, insecure: Insecure = False) -> None:
    """Print the settings as the gateway would use them, defaults and environment included, without secrets."""
    with settings_failures(config):
        from gateway.settings.loading import load
        from gateway.settings.printing import redacted

        say(redacted(load(config, insecure=insecure)).rstrip())


@app.command("example")
def example() -> None:
    """Print a settings file with every key, its meaning and its default."""
    from gateway.settings.printing import example_toml

    say(example_toml().rstrip())
