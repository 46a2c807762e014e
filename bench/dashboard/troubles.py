"""The troubles, each a coroutine that makes it, keeps it up until it is over and mends it."""

from __future__ import annotations

import asyncio
import datetime as dt
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from adapters.simulators.faults import Faults
from bench.dashboard.scene import DEDUP_ENTRIES, JOURNAL_BYTES, MAX_PENDING, WORKERS, Scene
from bench.dashboard.traffic import SECURITY, SERVICE, TRANSACTIONAL, apns_device, notice, offer
from protos.walletpush.v1.notification_pb2 import Notification

WELL = Faults()
Trouble = Callable[[Scene, asyncio.Event], Awaitable[None]]
_BATCH = 250
# More than a journal or the idempotency window takes.
_MOST_BATCHES = 2 * max(JOURNAL_BYTES // (3_400 * _BATCH), DEDUP_ENTRIES // _BATCH)
# One batch may have been too late, several were refused.
_SURELY = 8
_PAUSE_S = 0.25
_CAMPAIGN = 2 * MAX_PENDING
_UNLIMITED = (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY)


async def apns_storm(scene: Scene, over: asyncio.Event) -> None:
    """APNs answers everything 503 while a campaign goes on and urgent notices have little time."""
    await scene.simulator.set_faults("apns", Faults(outage="unavailable"))
    accepted = 0

    async def campaign() -> None:
        nonlocal accepted
        # Once the queue is full some go on knocking; their keys must not fill the idempotency window already.
        size = 1_000 if accepted < _CAMPAIGN else 100
        accepted += await scene.callers.send(offer() for _ in range(size))
        await scene.callers.send(
            notice(klass, apns_device(), ttl_s=3) for klass in (SECURITY, TRANSACTIONAL, SERVICE) for _ in range(5)
        )

    await _again(over, 0.25, campaign)
    await scene.simulator.set_faults("apns", WELL)


async def sandbox_faults(scene: Scene, over: asyncio.Event) -> None:
    """A third of the answers of APNs' sandbox are 500, too few for a breaker."""
    await scene.simulator.set_faults("sandbox", Faults(rate_500=0.35))
    await over.wait()
    await scene.simulator.set_faults("sandbox", WELL)


async def sandbox_gone(scene: Scene, over: asyncio.Event) -> None:
    """APNs' sandbox takes no connection."""
    await scene.simulator.set_faults("sandbox", Faults(outage="refusing"))
    # A connection whose handshake was under way came through.
    await _again(over, 1.0, lambda: scene.simulator.disconnect("sandbox"))
    await scene.simulator.set_faults("sandbox", WELL)


async def fcm_slow_and_dying(scene: Scene, over: asyncio.Event) -> None:
    """FCM takes three seconds for an answer, and half of its devices are gone."""
    await scene.simulator.set_faults("fcm", Faults(rate_410=0.5, latency="fixed", latency_ms=3_000.0))
    await over.wait()
    await scene.simulator.set_faults("fcm", WELL)


async def no_access_token(scene: Scene, over: asyncio.Event) -> None:
    """Google takes no access token any longer, and gives out no other."""
    await scene.simulator.set_oauth_unavailable(unavailable=True)
    await scene.simulator.revoke_bearers()
    await over.wait()
    await scene.simulator.set_oauth_unavailable(unavailable=False)


async def workers_die(scene: Scene, over: asyncio.Event) -> None:
    """A message in a journal is damaged, and its worker killed again and again; at last it stays and finds it."""
    await asyncio.to_thread(_damage, scene)

    async def kill() -> None:
        worker = scene.worker(1)
        if worker is not None:
            with suppress(psutil.NoSuchProcess):
                worker.kill()

    await _again(over, 0.3, kill)


async def worker_stands_still(scene: Scene, over: asyncio.Event) -> None:
    """A worker is stopped for half of each second, as on a host with too many neighbours."""

    async def stop() -> None:
        worker = scene.worker(0)
        if worker is not None:
            worker.send_signal(signal.SIGSTOP)
            await asyncio.sleep(0.5)
            worker.send_signal(signal.SIGCONT)

    await _again(over, 0.5, stop)


async def journal_is_held(scene: Scene, over: asyncio.Event) -> None:
    """Another program holds a journal's lock for half a second at a time."""

    async def hold() -> None:
        await asyncio.to_thread(_hold, scene, 0.5)

    await _again(over, 0.3, hold)


async def few_files(scene: Scene, over: asyncio.Event) -> None:
    """A worker may open hardly more files than it has."""
    worker = scene.worker(0)
    if worker is not None:
        limits = worker.rlimit(psutil.RLIMIT_NOFILE)
        worker.rlimit(psutil.RLIMIT_NOFILE, (int(worker.num_fds() * 1.15), limits[1]))
        await over.wait()
        worker.rlimit(psutil.RLIMIT_NOFILE, limits)


async def certificate_ends(scene: Scene, over: asyncio.Event) -> None:
    """The certificate that an app shows to Apple has three days left."""
    good = scene.certificate.read_bytes()
    scene.certificate.write_bytes(_short_lived(scene))
    await over.wait()
    scene.certificate.write_bytes(good)


async def nothing_more(_scene: Scene, over: asyncio.Event) -> None:
    """What was done already has its effect."""
    await over.wait()


async def wrong_settings(scene: Scene, over: asyncio.Event) -> None:
    """Somebody reloads settings with a typing error."""
    good = scene.config.read_text()
    scene.config.write_text(good.replace("[dispatch]", "[dispach]"))
    scene.place.supervisor.send_signal(signal.SIGHUP)
    await over.wait()
    scene.config.write_text(good)


async def disk_refuses(scene: Scene, over: asyncio.Event) -> None:
    """A worker cannot write a byte, as on a full disk."""
    worker = scene.worker(0)
    if worker is not None:
        worker.rlimit(psutil.RLIMIT_FSIZE, (1, psutil.RLIM_INFINITY))
        await over.wait()
        worker.rlimit(psutil.RLIMIT_FSIZE, _UNLIMITED)


async def too_much(scene: Scene, over: asyncio.Event) -> None:
    """Callers send large urgent notices that cannot leave, and more keys than the idempotency window holds."""
    await scene.simulator.set_faults("apns", Faults(outage="unavailable"))
    await scene.callers.reach(WORKERS)
    await _until_refused(scene, 0, lambda: notice(TRANSACTIONAL, apns_device(), padding_bytes=3_400))
    # Nobody has a device, so these end at once and leave nothing but their keys; to the worker that has room.
    await _until_refused(scene, 1, _nobody)
    await over.wait()
    await scene.simulator.set_faults("apns", WELL)


async def _until_refused(scene: Scene, connection: int, make: Callable[[], Notification]) -> None:
    refused = 0
    for _ in range(_MOST_BATCHES):
        accepted = await scene.callers.send((make() for _ in range(_BATCH)), connection)
        refused = 0 if accepted else refused + 1
        if refused == _SURELY:
            return
        if refused:
            # A busy worker answers late, and is not full for that.
            await asyncio.sleep(_PAUSE_S)


async def _again(over: asyncio.Event, pause_s: float, act: Callable[[], Awaitable[None]]) -> None:
    while not over.is_set():
        await act()
        await asyncio.sleep(pause_s)


def _nobody() -> Notification:
    made = notice(SERVICE)
    made.user_ids.append("nobody")
    return made


def _damage(scene: Scene) -> None:
    with closing(sqlite3.connect(scene.journal(1), timeout=5.0)) as journal, journal:
        found = journal.execute(
            "SELECT p.seq, p.frames FROM payloads AS p JOIN segments AS s USING (seq) WHERE s.open > 0 "
            "ORDER BY s.open DESC LIMIT 1"
        ).fetchone()
        if found is not None:
            seq, frames = found
            journal.execute("UPDATE payloads SET frames = ? WHERE seq = ?", (frames[:-40] + b"\xff" * 40, seq))


def _hold(scene: Scene, seconds: float) -> None:
    journal = sqlite3.connect(scene.journal(0), isolation_level=None)
    with suppress(sqlite3.OperationalError), closing(journal):
        journal.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        journal.execute("ROLLBACK")


def _short_lived(scene: Scene) -> bytes:
    """Return a certificate for the key that the app has, so that a worker which starts meanwhile can load it."""
    key_file = scene.place.directory / "simulators" / "client.key"
    key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise TypeError(f"{key_file} holds another kind of key")
    now, name = dt.datetime.now(dt.UTC), x509.Name([])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + dt.timedelta(days=3))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    return made.public_bytes(serialization.Encoding.PEM)
