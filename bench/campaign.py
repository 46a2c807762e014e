"""`python -m bench.campaign`: how long payments take while a campaign saturates the same worker, and alone."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from array import array
from collections.abc import Sequence
from pathlib import Path

import grpc
import uvloop
from rich.console import Console
from rich.table import Table

from bench.load import apns_token, payment
from bench.stand import APP, GATEWAY_CORE, OTHER_CORE, StandOptions, config_toml, free_port, simulators, spawn
from protos.walletpush.v1 import delivery_pb2, notification_pb2

_SEND = "/walletpush.v1.DeliveryService/Send"
_RECIPIENTS = 10_000
_SETTINGS = "[dispatch]\nmax_pending = 2000000\n"


def campaign(first: int, run: str) -> bytes:
    """Return one marketing notification to 10,000 devices, serialised."""
    devices = [
        notification_pb2.DeviceToken(provider=notification_pb2.PROVIDER_APNS, token=apns_token(first + i))
        for i in range(_RECIPIENTS)
    ]
    notification = notification_pb2.Notification(
        idempotency_key=f"{run}-{first}", app=APP, campaign_id="autumn", devices=devices,
        notification_class=notification_pb2.NOTIFICATION_CLASS_MARKETING,
        content=notification_pb2.Content(title="Double points", body="双倍积分 · This weekend only", deep_link="wallet://offers/7"),
    )  # fmt: skip
    return delivery_pb2.SendRequest(notification=notification).SerializeToString()


async def pay(channel: grpc.aio.Channel, per_s: float, until: asyncio.Event, at_most: int, run: str) -> int:
    """Send payments at fixed moments, whether or not earlier ones were answered; return how many."""
    send = channel.unary_unary(_SEND, None, None)
    calls: list[asyncio.Future[bytes]] = []
    started, sent = time.monotonic(), 0
    while sent < at_most and not until.is_set():
        request = delivery_pb2.SendRequest(notification=payment(sent, run))
        calls.append(asyncio.ensure_future(send(request.SerializeToString())))
        sent += 1
        await asyncio.sleep(max(0.0, started + sent / per_s - time.monotonic()))
    await asyncio.gather(*calls)
    return sent


def percentiles(times_ns: Sequence[int]) -> list[str]:
    """Return p50, p90, p99 and the maximum in ms."""
    ordered = sorted(times_ns)
    picks = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.9, 0.99)]
    return [f"{value / 1e6:.2f}" for value in (*picks, ordered[-1])]


async def main(devices: int, per_s: float, idle_s: float, out: Path) -> None:
    """Run both phases and print a table."""
    os.sched_setaffinity(0, {OTHER_CORE})
    requests = [campaign(first, "campaign") for first in range(0, devices, _RECIPIENTS)]
    options = StandOptions(settings=_SETTINGS)
    async with simulators(options) as place:
        port = free_port()
        config = place.directory / "walletpush.toml"
        config.write_text(config_toml(place.directory, place.credentials, place.ports, port, free_port(), options))
        words = [sys.executable, "-m", "bench.probed_worker", "--config", str(config), "--out", str(out)]
        worker = await spawn(words, GATEWAY_CORE, place.directory / "gateway.log")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await asyncio.wait_for(channel.channel_ready(), 20)
            never = asyncio.Event()
            await pay(channel, per_s, never, int(per_s * 2), "warm")
            warm = int(per_s * 2)
            idle = await pay(channel, per_s, never, int(per_s * idle_s), "idle")
            over = asyncio.Event()
            started = time.monotonic()
            payments = asyncio.ensure_future(pay(channel, per_s, over, 1 << 30, "busy"))
            send = channel.unary_unary(_SEND, None, None)
            for request in requests:
                await send(request)
            async with place.simulator() as simulator:
                while (await simulator.summary("apns"))["accepted"] < devices:
                    await asyncio.sleep(0.05)
            campaign_s = time.monotonic() - started
            over.set()
            busy = await payments
        worker.send_signal(signal.SIGTERM)
        await worker.wait()
    times = array("q", out.read_bytes())
    table = Table(
        "payments", "count", "p50 ms", "p90 ms", "p99 ms", "max ms",
        title=f"arrival to provider's answer; campaign of {devices:,} at {devices / campaign_s:,.0f}/s",
    )  # fmt: skip
    table.add_row("alone", f"{idle:,}", *percentiles(times[warm : warm + idle]))
    table.add_row("during the campaign", f"{busy:,}", *percentiles(times[warm + idle :]))
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1_000_000)
    parser.add_argument("--per-s", type=float, default=100.0)
    parser.add_argument("--idle-s", type=float, default=15.0)
    parser.add_argument("--out", type=Path, default=Path("/tmp/walletpush-campaign.times"))
    given = parser.parse_args()
    uvloop.run(main(given.devices, given.per_s, given.idle_s, given.out))
