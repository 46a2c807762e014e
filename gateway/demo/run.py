"""Runs the demonstration from the first process to the account."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time

import aiohttp
import uvloop

from adapters.simulators.client import SimulatorClient
from gateway.client import Walletpush
from gateway.demo.account import Account, Devices, reckon
from gateway.demo.book import Book
from gateway.demo.choices import show_choices
from gateway.demo.gauges import Gauges, read_gauges
from gateway.demo.ledgers import read_ledgers
from gateway.demo.load import Load
from gateway.demo.people import People
from gateway.demo.plan import Plan
from gateway.demo.report import as_json, draw
from gateway.demo.stage import Stage, set_up
from gateway.demo.view import View
from gateway.demo.weather import kill_devices, run_weather

SHOW_S = 0.25
SETTLE_S = 60.0
REMOVAL_S = 10.0
# What was sent shortly before trouble still meets it, and the queue takes a moment to empty after it.
BEFORE_TROUBLE_S = 0.5
AFTER_TROUBLE_S = 3.0


class StoppedError(Exception):
    """The demonstration was told to stop; its processes are gone."""


def run(plan: Plan, *, json: bool, keep: bool) -> int:
    """Run it and print the account; return the exit code, 1 unless all is well.

    Raises StoppedError, and StageFailedError when a process does not come up.
    """
    try:
        account = uvloop.run(_run(plan, json=json, keep=keep))
    except asyncio.CancelledError:
        raise StoppedError from None
    if json:
        sys.stdout.write(as_json(account) + "\n")
    else:
        draw(account, sys.stdout)
    return 0 if account.good else 1


async def _run(plan: Plan, *, json: bool, keep: bool) -> Account:
    stream = sys.stderr if json else sys.stdout
    book = Book()
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with View(plan, book, stream) as view:
        view.mark("starting simulators of APNs and FCM, and the gateway")
        async with set_up(plan, keep=keep) as stage:
            if keep:
                view.mark(f"everything is kept in {stage.directory}")
            async with Walletpush(stage.address) as client, SimulatorClient(stage.ports.control) as simulators:
                return await _Act(plan, stage, book, view, client, simulators).play()


class _Act:
    """The part between two curtains."""

    def __init__(
        self, plan: Plan, stage: Stage, book: Book, view: View, client: Walletpush, simulators: SimulatorClient
    ) -> None:
        self._plan = plan
        self._stage = stage
        self._book = book
        self._view = view
        self._client = client
        self._simulators = simulators
        self._people = People(random.Random(plan.seed), plan.campaign_size)  # noqa: S311  # a load, not a secret

    async def play(self) -> Account:
        """Register, load, settle, reckon."""
        count = await self._people.register(self._client)
        await kill_devices(self._simulators, self._people)
        self._view.start()
        self._view.mark(f"{count:,} devices of {len(self._people.users):,} users registered; the load begins")
        start_unix_s = time.time()
        async with asyncio.TaskGroup() as around:
            watching = [around.create_task(self._watch()), around.create_task(self._show())]
            weather = around.create_task(run_weather(self._simulators, self._plan, self._view.mark))
            async with asyncio.TaskGroup() as calls:
                load = Load(self._plan, self._people, self._client, self._book, calls)
                await load.run()
            await weather
            await self._settle()
            for task in watching:
                task.cancel()
        account = await self._reckon(load, start_unix_s)
        # After the account: these are not in the caller's book.
        await show_choices(self._client, self._view.mark)
        return account

    async def _watch(self) -> None:
        async for told in self._client.watch_receipts("begin"):
            for receipt in told.receipts:
                self._book.on_receipt(receipt)

    async def _show(self) -> None:
        gauges = Gauges()
        async with aiohttp.ClientSession() as session:
            while True:
                gauges = await read_gauges(session, self._stage.web_port) or gauges
                self._view.show(gauges)
                await asyncio.sleep(SHOW_S)

    async def _settle(self) -> None:
        self._view.mark("the load is over; waiting for the last receipts")
        for _ in range(int(SETTLE_S / SHOW_S)):
            if self._book.is_settled:
                return
            await asyncio.sleep(SHOW_S)

    async def _reckon(self, load: Load, start_unix_s: float) -> Account:
        self._view.mark("comparing receipts with the providers' ledgers")
        ledgers = await read_ledgers(self._stage.ports.control)
        windows = (self._plan.throttled_s, self._plan.apns_outage_s, self._plan.fcm_outage_s)
        troubled = [
            (start_unix_s + a_s - BEFORE_TROUBLE_S, start_unix_s + b_s + AFTER_TROUBLE_S) for a_s, b_s in windows
        ]
        return reckon(self._book, ledgers, await self._devices(load), troubled)

    async def _devices(self, load: Load) -> Devices:
        """Ask which devices are still registered; removals follow the receipts by a moment."""
        users = [user for user in self._people.users if user.dead]
        addressed = frozenset(token for user in users if user.id in load.addressed for token in user.dead)
        live = frozenset(device.token for user in users for device in user.live)
        deadline_s = time.monotonic() + REMOVAL_S
        listed = await self._people.still_registered(self._client, users)
        while addressed & listed and time.monotonic() < deadline_s:
            await asyncio.sleep(SHOW_S)
            listed = await self._people.still_registered(self._client, users)
        return Devices(addressed, live, frozenset(listed))
