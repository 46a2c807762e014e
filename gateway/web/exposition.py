"""Metrics as Prometheus reads them, of this process or of all workers together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector


class Exposition:
    """What /metrics answers.

    registries: of this process. workers_dir: where workers keep their values (`write_worker_files`), read and added
    up at each call; their values must not be in `registries` too.
    """

    def __init__(self, registries: Sequence[CollectorRegistry], workers_dir: Path | None = None) -> None:
        self._registries = list(registries)
        own = CollectorRegistry()
        ProcessCollector(registry=own)
        self._registries.append(own)
        if workers_dir is not None:
            workers = CollectorRegistry()
            MultiProcessCollector(workers, str(workers_dir))  # type: ignore[no-untyped-call]
            self._registries.append(workers)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the text and its content type; takes milliseconds and reads files, so call it in a thread."""
        encode, content_type = choose_encoder(accept)
        merged = CollectorRegistry()
        merged.register(_Joined(self._registries))
        return encode(merged), content_type


class _Joined(Collector):
    """The metrics of several registries, one after the other."""

    def __init__(self, registries: Sequence[CollectorRegistry]) -> None:
        self._registries = registries

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        for registry in self._registries:
            yield from registry.collect()

    def describe(self) -> list[Metric]:
        """Name nothing, so that registering does not collect."""
        return []
