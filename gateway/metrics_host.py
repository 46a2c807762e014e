"""What holds for all workers together: the build, the room on the disk, certificates, and the number of devices."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from cryptography import x509
from prometheus_client import CollectorRegistry, Gauge, Info, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from core.errors import PushError
from core.model import Provider
from gateway.entered_task import EnteredTask
from gateway.logs import get_logger
from gateway.metrics import route_label
from gateway.settings.root import Settings

# Of 10,000,000 devices a count takes seconds of one core: it may have a fiftieth of one.
_COUNT_EVERY_S = 30.0
_COUNT_SHARE = 50
_COUNT_AGAIN_S = 1.0


def show_build(registry: CollectorRegistry) -> None:
    """Add walletpush_build_info."""
    build = Info("walletpush_build", "What runs here.", registry=registry)
    build.info({"version": version("walletpush"), "python": platform.python_version()})


def certificates_of(settings: Settings) -> dict[str, Path]:
    """Return the certificates that the gateway shows to others, by what they are for."""
    found = {"server": settings.server.tls_cert_file, "web": settings.web.tls_cert_file}
    for app in settings.apps:
        if app.apns is not None:
            found[f"apns/{app.id}"] = app.apns.cert_file
    return {name: Path(str(file)) for name, file in found.items() if file is not None}


class HostFigures(Collector):
    """Looks at files when asked. settings may be replaced after a reload."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def collect(self) -> Iterator[Metric]:
        """Yield the families; a certificate that cannot be read expired in 1970."""
        expiry = GaugeMetricFamily(
            "walletpush_certificate_expiry_timestamp_seconds",
            "When a certificate of ours ends, in seconds since 1970; 0 if it cannot be read.", labels=["certificate"],
        )  # fmt: skip
        for name, path in certificates_of(self.settings).items():
            expiry.add_metric([name], _expiry_unix_s(path))
        yield expiry
        # A disk that is gone must not take all other metrics with it.
        with suppress(OSError):
            yield from _disk(self.settings.data_dir)

    def describe(self) -> list[Metric]:
        """Name nothing, so that registering does not read."""
        return []


class DeviceCensus(EnteredTask):
    """Counts the registered devices now and then while it is entered.

    count: (app, provider) -> devices; takes long, so it is called in a thread. Raises PushError when it cannot.
    """

    def __init__(
        self, registry: CollectorRegistry, apps: Mapping[str, frozenset[int]],
        count: Callable[[], Mapping[tuple[str, int], int]],
    ) -> None:  # fmt: skip
        super().__init__("census")
        self._gauge = Gauge(
            "walletpush_devices_registered", "Devices in the registry, sandbox included.", ["provider", "app"],
            registry=registry,
        )  # fmt: skip
        self._routes = {(app, provider) for app, providers in apps.items() for provider in providers}
        self._count = count
        self._logger = get_logger("census")

    async def _run(self) -> None:
        while True:
            started_s = time.monotonic()
            wait_s = _COUNT_AGAIN_S
            try:
                counts = await asyncio.to_thread(self._count)
            except PushError as error:
                # At the first start there is no registry yet.
                self._logger.debug("devices_not_counted", why=str(error))
            else:
                for app, provider in self._routes | counts.keys():
                    self._gauge.labels(route_label(Provider(provider)), app).set(counts.get((app, provider), 0))
                wait_s = max(_COUNT_EVERY_S, _COUNT_SHARE * (time.monotonic() - started_s))
            await asyncio.sleep(wait_s)


def _disk(directory: Path) -> Iterator[Metric]:
    room = os.statvfs(directory)
    free_bytes, size_bytes = room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize
    yield GaugeMetricFamily("walletpush_disk_free_bytes", "Room on the data directory's disk.", free_bytes)
    yield GaugeMetricFamily("walletpush_disk_size_bytes", "Size of the data directory's disk.", size_bytes)


def _expiry_unix_s(path: Path) -> float:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return 0.0
