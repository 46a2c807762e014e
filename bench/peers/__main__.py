"""`python -m bench.peers`: tells which other gateways are on this machine, and installs them."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.peers.catalogue import PEERS, find
from bench.peers.peer import Command, NotInstalled, Peer, home

_INSTALL_S = 1_200


class InstallationFailed(RuntimeError):
    """A command of an installation failed; what it said is the message."""


def install(peer: Peer) -> str:
    """Run a peer's installation; return its version. Raises InstallationFailed, subprocess.TimeoutExpired."""
    home(peer.name).mkdir(parents=True, exist_ok=True)
    for command in peer.installation():
        _run(command)
    return peer.version()


def table(peers: Sequence[Peer]) -> Table:
    """Make the table of what is installed."""
    found = Table("peer", "version", "requests of", "in flight", "simulators")
    for peer in peers:
        found.add_row(peer.name, _version(peer), f"{peer.batch}", f"{peer.in_flight}", peer.mode)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("order", choices=("list", "install"))
    parser.add_argument("names", nargs="*", help="all if none is given")
    given = parser.parse_args(arguments)
    peers = [find(name) for name in given.names] or list(PEERS)
    if given.order == "list":
        Console().print(table(peers))
        return 0
    return max(_try_install(peer) for peer in peers)


def _try_install(peer: Peer) -> int:
    try:
        print(f"{peer.name} {install(peer)}")
    except InstallationFailed as error:
        print(f"{peer.name} not installed: {error}", file=sys.stderr)
        return 1
    return 0


def _run(command: Command) -> None:
    done = subprocess.run(
        command.words, env=command.variables(), cwd=command.directory, capture_output=True, text=True,
        timeout=_INSTALL_S, check=False,
    )  # fmt: skip
    if done.returncode:
        raise InstallationFailed(f"{' '.join(command.words)}: {(done.stderr or done.stdout)[-1_000:].strip()}")


def _version(peer: Peer) -> str:
    try:
        return peer.version()
    except NotInstalled:
        return "not installed"


if __name__ == "__main__":
    sys.exit(main())
