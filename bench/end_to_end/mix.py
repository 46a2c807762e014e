"""Payments at their own pace, alone and beside a campaign that takes all the gateway can give."""

from __future__ import annotations

import asyncio
import gc
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from bench.cpu import Spent, Watch
from bench.end_to_end.stages import Stages, between, read_stages
from bench.intake.ways import SEND, Calls
from bench.load import apns_token
from bench.open_loop import OpenRun, poisson, run_open
from bench.received import Received, Throughput
from bench.stand import APP, Stand
from bench.under_test import CHANNEL_OPTIONS, NotTaken
from protos.walletpush.v1 import delivery_pb2, notification_pb2

PAYMENTS_PER_S = 100.0
RECIPIENTS = 10_000
_SEND = "/walletpush.v1.DeliveryService/Send"
_LONGEST_S = 120.0
_WARM_S = 1.0


@dataclass(frozen=True, slots=True)
class MixRound:
    """One repeat. campaign_s: from the first request until the provider had every device's."""

    alone: OpenRun
    beside: OpenRun
    devices: int
    campaign_s: float
    throughput: Throughput
    spent: Spent
    alone_stages: Stages
    beside_stages: Stages

    @property
    def campaign_per_s(self) -> float:
        """Deliveries of the campaign a second."""
        return self.devices / self.campaign_s


async def run_mix(place: Stand, devices: int, alone_s: float, run: str) -> MixRound:
    """Pay for a while, then pay while a campaign of so many devices is under way. Raises NotTaken, Stalled."""
    requests = [_campaign(first, run) for first in range(0, devices, RECIPIENTS)]
    async with SEND.connect(place.address, 1) as calls, place.simulator() as simulator:
        received = Received(simulator)
        await _pay(calls, _WARM_S, f"{run}.warm")
        watch = Watch(place.workers(), (place.supervisor, place.simulators))
        first = await read_stages(place.web)
        alone = await _pay(calls, alone_s, f"{run}.alone")
        second = await read_stages(place.web)
        await received.begin()
        over = asyncio.Event()
        async with received.sampled() as throughput, asyncio.TaskGroup() as tasks:
            payments = tasks.create_task(_pay(calls, _LONGEST_S, f"{run}.beside", over))
            campaign_s = await _send_campaign(place, requests, devices, received)
            over.set()
        await received.reach(devices + payments.result().count)
        stages = between(first, second), between(second, await read_stages(place.web))
        return MixRound(alone, payments.result(), devices, campaign_s, throughput, watch.spent(), *stages)


async def _pay(calls: Calls, seconds: float, run: str, over: asyncio.Event | None = None) -> OpenRun:
    due_ns = poisson(PAYMENTS_PER_S, seconds, seed=zlib.crc32(run.encode()))
    prepared = calls(len(due_ns), run)
    gc.collect()
    gc.freeze()
    return await run_open(prepared, due_ns, over)


async def _send_campaign(place: Stand, requests: Sequence[bytes], devices: int, received: Received) -> float:
    async with grpc.aio.insecure_channel(place.address, options=CHANNEL_OPTIONS) as channel:
        send = channel.unary_unary(_SEND, None, delivery_pb2.SendResponse.FromString)
        began_s = time.monotonic()
        for request in requests:
            answer = await send(request)
            if answer.status != delivery_pb2.SEND_STATUS_ACCEPTED:
                raise NotTaken(str(answer))
        # Counts the payments too, some thousandth of all.
        await received.reach(devices)
        return time.monotonic() - began_s


def _campaign(first: int, run: str) -> bytes:
    devices = [
        notification_pb2.DeviceToken(provider=notification_pb2.PROVIDER_APNS, token=apns_token(first + place))
        for place in range(RECIPIENTS)
    ]
    notification = notification_pb2.Notification(
        idempotency_key=f"{run}-{first}", app=APP, campaign_id="autumn", devices=devices,
        # These tokens belong to nobody who could have agreed to marketing.
        notification_class=notification_pb2.NOTIFICATION_CLASS_SERVICE,
        content=notification_pb2.Content(
            title="New terms", body="新的服务条款 · From next month", deep_link="wallet://terms"
        ),
    )  # fmt: skip
    return delivery_pb2.SendRequest(notification=notification).SerializeToString()
