"""A Prometheus server of one's own: started over a directory, asked over HTTP."""

from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import aiohttp

from bench.stand import free_port, spawn, stop

PROGRAM = "prometheus"
SCRAPE_S = 1.0
EVALUATE_S = 0.5
_READY_S = 20.0


class MissingPrometheus(RuntimeError):
    """There is no Prometheus on the path: apt-get install prometheus."""


class BadQuery(RuntimeError):
    """Prometheus did not take an expression."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series over time; only what is a number, times in unix seconds."""

    labels: Mapping[str, str]
    times: tuple[float, ...]
    values: tuple[float, ...]


class _AlertJson(TypedDict):
    state: str
    labels: dict[str, str]
    annotations: dict[str, str]


class _Matrix(TypedDict):
    metric: dict[str, str]
    values: list[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running server; use `prometheus`."""

    url: str
    session: aiohttp.ClientSession

    async def lines(self, expr: str, start_s: float, end_s: float, step_s: float = SCRAPE_S) -> list[Line]:
        """Return the series of an expression between two moments. Raises BadQuery."""
        body = {"query": expr, "start": str(start_s), "end": str(end_s), "step": str(step_s)}
        async with self.session.post(f"{self.url}/api/v1/query_range", data=body) as answer:
            told = await answer.json()
        if told["status"] != "success":
            raise BadQuery(f"{expr}: {told['error']}")
        found: list[_Matrix] = told["data"]["result"]
        return [line for line in map(_line, found) if line.times]


    async def metric_names(self) -> frozenset[str]:
        """Return the names of all series that it has stored, those of rules included."""
        async with self.session.get(f"{self.url}/api/v1/label/__name__/values") as answer:
            return frozenset((await answer.json())["data"])

    async def messages(self) -> dict[str, str]:
        """Return what the alerts that fire now say, by their names."""
        async with self.session.get(f"{self.url}/api/v1/alerts") as answer:
            alerts: list[_AlertJson] = (await answer.json())["data"]["alerts"]
        return {
            alert["labels"]["alertname"]: f"{alert['annotations']['summary']}: {alert['annotations']['description']}"
            for alert in alerts if alert["state"] == "firing"
        }  # fmt: skip


@asynccontextmanager
async def prometheus(directory: Path, target: str, rules: Mapping[str, str]) -> AsyncIterator[Prometheus]:
    """Run a server that scrapes a gateway as the job walletpush until left. rules: file name -> text.

    Raises MissingPrometheus; RuntimeError with its log if it does not come up.
    """
    if shutil.which(PROGRAM) is None:
        raise MissingPrometheus("no prometheus on the path: apt-get install prometheus")
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in rules.items():
        (directory / name).write_text(text, "utf-8")
    config = directory / "prometheus.yml"
    config.write_text(_config(target, list(rules)), "utf-8")
    port = free_port()
    words = [
        PROGRAM, f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}", "--log.level=warn",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    process = await spawn(words, None, directory / "prometheus.log")
    try:
        async with aiohttp.ClientSession() as session:
            await _until_ready(f"http://127.0.0.1:{port}", session, process, directory / "prometheus.log")
            yield Prometheus(f"http://127.0.0.1:{port}", session)
    finally:
        await stop(process)


def _config(target: str, rules: Sequence[str]) -> str:
    files = "\n".join(f"  - {name}" for name in rules)
    return f"""
global:
  scrape_interval: {int(SCRAPE_S * 1000)}ms
  scrape_timeout: {int(SCRAPE_S * 1000)}ms
  evaluation_interval: {int(EVALUATE_S * 1000)}ms
rule_files:
{files}
scrape_configs:
  - job_name: walletpush
    static_configs:
      - targets: ["{target}"]
"""


async def _until_ready(
    url: str, session: aiohttp.ClientSession, process: asyncio.subprocess.Process, log: Path
) -> None:
    async with asyncio.timeout(_READY_S):
        while True:
            if process.returncode is not None:
                raise RuntimeError(log.read_text())
            try:
                async with session.get(f"{url}/-/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


def _line(found: _Matrix) -> Line:
    points = [(time, float(text)) for time, text in found["values"]]
    sound = [(time, value) for time, value in points if math.isfinite(value)]
    return Line(found["metric"], tuple(time for time, _ in sound), tuple(value for _, value in sound))
