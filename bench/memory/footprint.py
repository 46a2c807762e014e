"""What memory a worker has, in the parts that mean different things."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import psutil

_ANON = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Footprint:
    """A process's memory at one moment, in bytes.

    rss: all that it touched, also what it shares with others. own: what only it has (USS). anon: its heap and stacks.
    registry: pages of the registry's file that it maps, which the system may take back at any time.
    """

    rss: int
    own: int
    anon: int
    registry: int


def footprint(process: psutil.Process, registry: Path) -> Footprint:
    """Look at a process now; registry: the file."""
    memory = process.memory_full_info()
    mapped = sum(part.rss for part in process.memory_maps(grouped=True) if part.path == str(registry))
    return Footprint(memory.rss, memory.uss, heap(process), mapped)


def heap(process: psutil.Process) -> int:
    """Return what is neither a file nor shared, in bytes; costs next to nothing.

    Source: https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
    """
    found = _ANON.search(Path(f"/proc/{process.pid}/status").read_text())
    if found is None:
        raise RuntimeError("this kernel does not tell RssAnon")
    return int(found[1]) * 1024
