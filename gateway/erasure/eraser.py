"""Carries erasures out, step by step over all stores and workers; what a crash interrupts is taken up again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from core.errors import Failure, Overloaded, PushError, Unavailable
from core.hashing import SipHash
from core.model import Device
from core.privacy import Erasure, ErasureRecord, Purged, UnderWay, is_genuine, privacy_key, signed, subject_hash
from gateway.erasure.subject import Subject, seal, unseal
from gateway.logs import get_logger
from gateway.metrics import Metrics
from gateway.pipeline.clock import Clock

MAX_RUNNING = 64
_ATTEMPTS = 20
_PAUSE_S = 0.25
# Between looks for what is left to do; after a failure twice as long as before.
_LOOK_S, _LOOK_AT_MOST_S = 1.0, 300.0
# One that another worker began is its business for so long.
_ABANDONED_MS = 300_000
_SEALS = "privacy erasures under way"


class PersonalStore(Protocol):
    """A store that holds what is known of users."""

    async def erase(self, app: str, user_id: str) -> Mapping[str, int]:
        """Remove all of it; return counts by table. Raises Unavailable."""


class Devices(PersonalStore, Protocol):
    """The registry."""

    async def list_devices(self, app: str, user_id: str) -> list[Device]:
        """Return a user's devices. Raises Unavailable."""


class Files(Protocol):
    """The files of both."""

    async def clean(self, needles: Sequence[bytes]) -> int:
        """Rid them of leftovers of what was deleted; return how many stay, in what is too large. Raises Unavailable."""


class Counts(Protocol):
    """What frequency caps count."""

    def forget(self, app: str, user_id: str, devices: frozenset[tuple[int, str]]) -> int:
        """Forget what was counted for a user and their devices; return how many messages."""


class Workers(Protocol):
    """All workers of the host, this one too."""

    def numbers(self) -> list[int]:
        """Return the numbers of all workers and of all journals."""

    async def erase(self, number: int, subject: Subject) -> Mapping[str, int]:
        """Erase a user from a worker and its journal; return counts. Raises Unavailable."""


class UserEraser:
    """Implements core.privacy.Eraser. secret: the gateway's own."""

    def __init__(
        self, *, erasures: ErasureRecord, people: PersonalStore, registry: Devices, files: Files, counts: Counts,
        workers: Workers, secret: SipHash, metrics: Metrics, clock: Clock,
    ) -> None:  # fmt: skip
        self._erasures = erasures
        self._people = people
        self._registry = registry
        self._files = files
        self._counts = counts
        self._workers = workers
        self._secret = secret
        self._seal_key = privacy_key(secret, _SEALS)
        self._metrics = metrics
        self._clock = clock
        self._running: dict[str, asyncio.Task[Erasure | PushError]] = {}
        self._logger = get_logger("erasure")

    async def erase(self, app: str, user_id: str, reason: str, actor: str, now_unix_ms: int) -> Erasure:
        """Erase a user and return the proof, of one who is not known too; where nothing was left, the earlier proof.

        reason, actor: kept in the proof, without personal data. What was begun is finished after a restart. Raises
        Unavailable when a store or a worker cannot be reached (the erasure then goes on by itself), Overloaded when
        too many are running.
        """
        subject_id = subject_hash(self._secret, app, user_id)
        if subject_id not in self._running:
            if len(self._running) >= MAX_RUNNING:
                raise Overloaded("erasures", 1_000)
            self._start(subject_id, lambda: self._begin(subject_id, Subject(app, user_id), reason, actor, now_unix_ms))
        # A caller who leaves does not stop it.
        done = await asyncio.shield(self._running[subject_id])
        if isinstance(done, PushError):
            raise done
        return done

    async def find(self, app: str, user_id: str) -> Erasure | None:
        """Return the newest proof for this user, None without any or if it was altered. Raises Unavailable."""
        proof = await self._erasures.newest(subject_hash(self._secret, app, user_id))
        if proof is None or is_genuine(self._secret, proof):
            return proof
        self._logger.error("proof_altered", subject=proof.subject_hash)
        return None

    async def run(self) -> None:
        """Until cancelled, finish what was begun before a start, and what another worker left behind."""
        began_unix_ms, pause_s = self._clock.unix_ms(), _LOOK_S
        while True:
            failed = False
            try:
                for noted in await self._erasures.under_way():
                    left = noted.begun_unix_ms < max(began_unix_ms, self._clock.unix_ms() - _ABANDONED_MS)
                    if left and noted.subject_hash not in self._running:
                        self._start(noted.subject_hash, self._resuming(noted))
                        failed |= isinstance(await self._running[noted.subject_hash], PushError)
            except Unavailable as error:
                self._logger.warning("erasures_unreadable", why=str(error))
            pause_s = min(2 * pause_s, _LOOK_AT_MOST_S) if failed else _LOOK_S
            await asyncio.sleep(pause_s)

    async def purge(self, now_unix_ms: int, before_unix_ms: int, most: int) -> Purged:
        """Let the oldest proofs go, at most so many, that are older. Raises Unavailable."""
        return await self._erasures.purge(now_unix_ms, before_unix_ms, most)

    async def close(self) -> None:
        """Leave what is running to the next start, and let go of the file."""
        running = list(self._running.values())
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._erasures.close()

    def _start(self, subject_id: str, work: Callable[[], Awaitable[Erasure]]) -> None:
        task = asyncio.ensure_future(self._safely(subject_id, work))
        self._running[subject_id] = task
        task.add_done_callback(lambda _: self._running.pop(subject_id, None))

    async def _safely(self, subject_id: str, work: Callable[[], Awaitable[Erasure]]) -> Erasure | PushError:
        try:
            return await work()
        except PushError as error:
            self._logger.warning("erasure_postponed", subject=subject_id, why=str(error))
            return error
        except Exception:  # the top of a task; it stays under way, and is tried again
            self._logger.error("erasure_failed", subject=subject_id, exc_info=True)
            self._metrics.task_failure("erasure")
            return Failure("internal error")

    def _resuming(self, noted: UnderWay) -> Callable[[], Awaitable[Erasure]]:
        async def resume() -> Erasure:
            self._logger.info("erasure_resumed", subject=noted.subject_hash)
            return await self._carry_out(noted, unseal(noted.sealed, self._seal_key, noted.subject_hash))

        return resume

    async def _begin(self, subject_id: str, subject: Subject, reason: str, actor: str, now_unix_ms: int) -> Erasure:
        earlier = await self._erasures.find_under_way(subject_id)
        counts: Mapping[str, int] = {}
        if earlier is not None:
            # What it removed is not to be found again, nor are the devices that it knew.
            subject, counts = unseal(earlier.sealed, self._seal_key, subject_id), earlier.removed_counts
        devices = await self._registry.list_devices(subject.app, subject.user_id)
        subject = subject.with_devices((int(one.target.provider), one.target.token) for one in devices)
        sealed = seal(subject, self._seal_key, subject_id)
        noted = UnderWay(subject_id, sealed, counts, actor, reason, now_unix_ms)
        await self._erasures.begin(noted)
        return await self._carry_out(noted, subject)

    async def _carry_out(self, noted: UnderWay, subject: Subject) -> Erasure:
        """Remove everything; each step may have been done before."""
        counts = Counter(noted.removed_counts)
        app, user_id = subject.app, subject.user_id
        for name, store in (("people", self._people), ("registry", self._registry)):
            removed = await _patiently(partial(store.erase, app, user_id))
            counts.update({f"{name}.{table}": count for table, count in removed.items()})
            await self._erasures.note(noted.subject_hash, counts)
        counts["leftovers"] = await self._files.clean(subject.row_leftovers)
        counts["frequency"] += self._counts.forget(app, user_id, subject.devices)
        for number in self._workers.numbers():
            counts.update(await self._workers.erase(number, subject))
            await self._erasures.note(noted.subject_hash, counts)
        # What was planned meanwhile may have been counted.
        counts["frequency"] += self._counts.forget(app, user_id, subject.devices)
        return await self._prove(noted, counts)

    async def _prove(self, noted: UnderWay, counts: Mapping[str, int]) -> Erasure:
        earlier = await self._erasures.newest(noted.subject_hash)
        proof = signed(
            self._secret,
            Erasure(noted.subject_hash, self._clock.unix_ms(), dict(counts), noted.actor, noted.reason, ""),
        )
        again = earlier is not None and is_genuine(self._secret, earlier) and not any(counts.values())
        await self._erasures.finish(None if again else proof, noted.subject_hash)
        for _ in range(_ATTEMPTS):
            if await self._erasures.forget_deleted():
                break
            await asyncio.sleep(_PAUSE_S)
        self._logger.info("erased", subject=noted.subject_hash, removed=sum(counts.values()))
        return earlier if again and earlier is not None else proof


async def _patiently(erase: Callable[[], Awaitable[Mapping[str, int]]]) -> Mapping[str, int]:
    """Try a few times, since a reader may hold the log for a moment."""
    attempts = _ATTEMPTS
    while True:
        try:
            return await erase()
        except Unavailable:
            attempts -= 1
            if not attempts:
                raise
            await asyncio.sleep(_PAUSE_S)
