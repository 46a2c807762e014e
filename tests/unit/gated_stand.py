"""The pipeline of `pipeline_stand` with gates before it, over people whom a test makes and changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from core.content.store import StoredTemplate
from core.hashing import SipHash
from core.model import Provider, Target
from core.policy.people import Channel, Recipient, UserDevice
from core.policy.rules import AppRules
from gateway.pipeline.deferral import Deferrals
from gateway.pipeline.gated import GatedPlanner
from gateway.pipeline.lookup import Lookup
from gateway.pipeline.owners import Owners
from gateway.pipeline.personal import Personal, Veil
from gateway.pipeline.policies import Policies
from gateway.pipeline.recheck import Rechecker
from gateway.template_book import TemplateBook
from tests.unit.pipeline_stand import HASHER, Stand, StandOptions, stand
from tests.unit.policy_stand import app_rules, counters
from tests.unit.virtual_time import START_UNIX_MS

_USUAL = StandOptions()
YES: Mapping[tuple[str, int], bool] = {("promotion", int(Channel.PUSH)): True}


class FakePeople:
    """Users and devices by id, with marks; statements: how often users were read."""

    def __init__(self) -> None:
        self.users: dict[str, Recipient] = {}
        self.devices: dict[str, list[UserDevice]] = {}
        self.statements = 0
        self._marks: dict[str, int] = {}

    def add(self, user_id: str, *devices: UserDevice, **fields: object) -> None:
        """Make a user, active now, with a yes to promotion by push, and an Apple device unless others are given."""
        usual: dict[str, object] = {"choices": YES, "time_zone": "UTC", "last_open_unix_ms": START_UNIX_MS}
        self.users[user_id] = Recipient(user_id, **{**usual, **fields})  # type: ignore[arg-type]
        self.devices[user_id] = list(devices) or [UserDevice(Target(Provider.APNS, token_of(user_id)))]

    def change(self, user_id: str, **fields: object) -> None:
        """Change a user, as another worker might at any time."""
        self.users[user_id] = replace(self.users[user_id], **fields)  # type: ignore[arg-type]
        self.touch(user_id)

    def touch(self, user_id: str) -> None:
        """Mark a user as changed."""
        self._marks[user_id] = self._marks.get(user_id, 0) + 1

    def mark(self, app: str, user_id: str) -> int:
        return self._marks.get(user_id, 0)

    async def recipients(self, app: str, user_ids: Sequence[str], attributes: bool) -> Mapping[str, Recipient]:
        self.statements += 1
        return {one: self.users[one] for one in user_ids if one in self.users}

    async def user_devices(self, app: str, user_ids: Sequence[str]) -> Mapping[str, list[UserDevice]]:
        return {one: self.devices[one] for one in user_ids if one in self.devices}

    async def owners(self, app: str, targets: Sequence[Target]) -> Owners:
        known = {
            (one.target.provider, one.target.token): (user_id, one)
            for user_id, devices in self.devices.items()
            for one in devices
        }
        asked = [(int(one.provider), one.token) for one in targets]
        return {key: known[key] for key in asked if key in known}

    async def minds_transactional(self, app: str) -> bool:
        return False


class NoTemplates:
    """A store without templates."""

    async def get(self, app: str, template_id: str, version: int = 0) -> StoredTemplate | None:
        return None


class GatedStand:
    """What a test of gates on the way holds in hand; use `gated_stand`."""

    def __init__(self, rules: AppRules, veils: Mapping[str, Veil]) -> None:
        self.people = FakePeople()
        self.counters = counters()
        self.rules = rules
        self.veils = veils
        self.pipeline: Stand
        self.deferrals: Deferrals
        self.gates: GatedPlanner
        self.policies: Policies
        self.lookup: Lookup

    def wire(self, pipeline: Stand) -> GatedPlanner:
        """Make the gates of a pipeline that is being made."""
        clock, hashes = pipeline.clock, SipHash(b"k" * 16)
        self.pipeline = pipeline
        self.deferrals = Deferrals(clock)
        self.policies = Policies({"app": self.rules}, self.counters, hashes, clock)
        book = TemplateBook(NoTemplates(), {}, clock)  # type: ignore[arg-type]
        self.lookup = Lookup(
            people=self.people, owners=self.people, policies=self.policies, book=book, clock=clock,
            stopped=lambda: pipeline.dispatcher.stopped,
        )  # fmt: skip
        self.gates = GatedPlanner(
            lookup=self.lookup, policies=self.policies, personal=Personal(self.veils), deferrals=self.deferrals,
            routes=pipeline.routes, flows=pipeline.flows, queue=pipeline.queue, dispatcher=pipeline.dispatcher,
            settler=pipeline.settler, hasher=HASHER.derive("devices"), metrics=pipeline.metrics, clock=clock,
        )  # fmt: skip
        return self.gates

    def rechecker(self) -> Rechecker:
        """Make what decides anew, and put it before the wire."""
        pipeline = self.pipeline
        made = Rechecker(
            lookup=self.lookup, policies=self.policies, deferrals=self.deferrals, routes=pipeline.routes,
            queue=pipeline.queue, dispatcher=pipeline.dispatcher, settler=pipeline.settler,
            contents=pipeline.reviver.content_of, metrics=pipeline.metrics, clock=pipeline.clock,
        )  # fmt: skip
        pipeline.dispatcher.set_sieve(made)
        return made

    def counted(self, user_id: str) -> list[bool]:
        """Return what is counted for a user: whether each is a reservation still."""
        return [reserved for _, _, _, reserved in self.counters.events_of(self.key_of(user_id))]

    def key_of(self, user_id: str) -> int:
        """Return the key that a user's counts are under."""
        return SipHash(b"k" * 16).derive("cap user of app").hash64(user_id)


@asynccontextmanager
async def gated_stand(
    rules: AppRules | None = None, options: StandOptions = _USUAL, veils: Mapping[str, Veil] | None = None
) -> AsyncIterator[GatedStand]:
    """Run a pipeline with gates until left."""
    made = GatedStand(rules or app_rules(quiet_windows=()), veils or {})
    async with stand(replace(options, gates=made.wire)) as pipeline, asyncio.TaskGroup() as tasks:
        background = [tasks.create_task(work) for work in (
            made.deferrals.run(made.gates.plan_due), made.rechecker().run(),
        )]  # fmt: skip
        try:
            yield made
        finally:
            pipeline.dispatcher.stop()
            for task in background:
                task.cancel()


def token_of(user_id: str) -> str:
    """Return the token of a user's first device."""
    return user_id.encode().hex().rjust(64, "0")
