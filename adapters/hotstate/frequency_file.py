"""The frequency counters' file: mapped by all workers of a host, kept over restarts, moved when it must grow."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path

from adapters.hotstate.shared_file import attach, create
from core.errors import StoreFailure
from core.frequency import FrequencyCounters

FILE = "frequency.bin"


@dataclass(frozen=True, slots=True)
class FrequencyOptions:
    """capacity: users with up to 3 counted messages each. reservation_s: how long a reservation holds."""

    capacity: int = 1_000_000
    reservation_s: int = 3_600


DEFAULTS = FrequencyOptions()


def open_frequency(directory: Path, now_s: int, options: FrequencyOptions = DEFAULTS) -> mmap.mmap:
    """Make the counters' file ready ahead of any worker, and return its mapping, for the owner to flush.

    An existing file is mended after a crash, and copied into a new one if the options differ. What cannot be read is
    kept aside as frequency.bin.damaged and counting begins anew. Raises StoreFailure if the file cannot be made.
    """
    path = directory / FILE
    old = _attached(path)
    if old is None:
        _make(path, options)
    else:
        counters = FrequencyCounters(old)
        counters.recover()
        if _differs(counters, options):
            _copy(counters, path, options, now_s)
    return attach(path)


def attach_frequency(directory: Path) -> FrequencyCounters:
    """Attach a worker to the counters. Raises StoreFailure if the file is not there or not of this version."""
    try:
        return FrequencyCounters(attach(directory / FILE))
    except ValueError as error:
        raise StoreFailure(f"{directory / FILE}: {error}") from error


def _attached(path: Path) -> mmap.mmap | None:
    if not path.exists():
        return None
    try:
        mapping = attach(path)
        FrequencyCounters(mapping)
    except (StoreFailure, ValueError):
        path.replace(path.with_suffix(".bin.damaged"))
        return None
    return mapping


def _differs(counters: FrequencyCounters, options: FrequencyOptions) -> bool:
    wanted = FrequencyCounters.required_bytes(options.capacity)
    return wanted != FrequencyCounters.required_bytes(counters.capacity) or (
        counters.reservation_s != options.reservation_s
    )


def _make(path: Path, options: FrequencyOptions) -> mmap.mmap:
    mapping = create(path, FrequencyCounters.required_bytes(options.capacity))
    FrequencyCounters.create(mapping, options.capacity, options.reservation_s)
    return mapping


def _copy(old: FrequencyCounters, path: Path, options: FrequencyOptions, now_s: int) -> None:
    """Write a new file beside the old one and put it in its place, so that a crash leaves one of them whole."""
    fresh = path.with_suffix(".bin.new")
    mapping = _make(fresh, options)
    counters = FrequencyCounters(mapping)
    counters.copy_filters(old.filters)
    for shard in range(old.shard_count):
        for user in old.users(shard):
            events = old.events_of(user)
            if counters.add_events(user, events, now_s) < len(events):
                raise StoreFailure(f"{path}: a capacity of {options.capacity:,} is too small for what is counted now")
    mapping.flush()
    os.replace(fresh, path)
