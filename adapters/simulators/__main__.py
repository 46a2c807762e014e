"""`python -m adapters.simulators`: run the simulators as a process of their own."""

from __future__ import annotations

import argparse
from pathlib import Path

from pydantic import TypeAdapter

from adapters.simulators.faults import Faults
from adapters.simulators.server import simulate
from adapters.simulators.settings import Ports, SimulatorSettings


def parse(arguments: list[str] | None = None) -> SimulatorSettings:
    """Turn command line arguments into settings; exits with a usage message when they make no sense."""
    parser = argparse.ArgumentParser(prog="python -m adapters.simulators", description=__doc__)
    parser.add_argument("directory", type=Path, help="where credentials and ports.json are written")
    parser.add_argument("--host", default="127.0.0.1")
    for name in Ports._fields:
        parser.add_argument(f"--{name}-port", type=int, default=0, help="0 is any free port")
    parser.add_argument("--mode", choices=("truthful", "counting", "fast"), default="truthful")
    parser.add_argument("--error-one-in", type=int, default=0, help="fast mode: every n-th answer is an error")
    parser.add_argument("--topic", action="append", default=[], help="an existing APNs topic; any if none is given")
    parser.add_argument("--token-updates-per-20-min", type=int, default=4)
    parser.add_argument("--keep-times", action="store_true", help="remember when each message came")
    parser.add_argument("--keep-bodies", type=int, default=0, help="remember the bodies of so many requests")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--share-ports", action="store_true", help="let other processes listen on the same ports")
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when the starter goes away")
    parser.add_argument("--faults", default="{}", help="faults from the start, as the JSON that PUT /faults takes")
    given = parser.parse_args(arguments)
    return SimulatorSettings(
        directory=given.directory,
        host=given.host,
        ports=Ports(*(getattr(given, f"{name}_port") for name in Ports._fields)),
        mode=given.mode,
        error_one_in=given.error_one_in,
        topics=frozenset(given.topic) or None,
        token_updates_per_20_min=given.token_updates_per_20_min,
        keeps_times=given.keep_times,
        keeps_bodies=given.keep_bodies,
        workers=given.workers,
        shares_ports=given.share_ports,
        until_stdin_closes=given.until_stdin_closes,
        faults=TypeAdapter(Faults).validate_json(given.faults),
    )


if __name__ == "__main__":
    simulate(parse())
