"""One process of the egress measurements: `python -m bench.egress serve DIRECTORY KIND` or `… SIDE JOB`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import uvloop

from bench.egress.client_run import ClientRun
from bench.egress.job import Job, parse
from bench.egress.servers import Kind, serve


def run(side: str, job: Job) -> ClientRun:
    """Be one client; each imports its library only then. Raises ValueError for an unknown side."""
    if side == "pycurl":
        from bench.egress.curl import curl

        return curl(job)
    if side in ("adapter", "engine"):
        from bench.egress import ours

        return uvloop.run(ours.adapter(job) if side == "adapter" else ours.engine(job))
    if side in ("aioapns", "httpx"):
        from bench.egress import others

        return uvloop.run(others.aioapns(job) if side == "aioapns" else others.with_httpx(job))
    raise ValueError(f"no side {side!r}")


def main(words: Sequence[str]) -> None:
    """Serve, or push and print a ClientRun as JSON."""
    if words[0] == "serve":
        uvloop.run(serve(Path(words[1]), Kind(words[2])))
    else:
        print(json.dumps(asdict(run(words[0], parse(words[1:])))))


if __name__ == "__main__":
    main(sys.argv[1:])
