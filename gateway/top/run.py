"""Looks at a gateway again and again, and shows what it finds: on a live screen, as plain text, or as JSON lines."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import time
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from typing import Protocol, TextIO

import orjson
from rich.console import Console
from rich.live import Live

from gateway.top.alarms import alarms
from gateway.top.figures import Snapshot, snapshot
from gateway.top.reading import Change, Reading
from gateway.top.source import NoAnswer, Source
from gateway.top.view import Screen

_QUIT = b"qQ"
Found = Snapshot | NoAnswer


class Show(Protocol):
    """Where what is found goes; entered while it is used."""

    def __enter__(self) -> Show:
        """Begin."""

    def __exit__(self, *_error: object) -> None:
        """End."""

    def take(self, found: Found) -> None:
        """Show a snapshot, or why there is none."""


class Lines:
    """One JSON object a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Lines:
        """Begin."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End."""

    def take(self, found: Found) -> None:
        """Write it."""
        self._stream.write(as_json(found) + "\n")
        self._stream.flush()


class Plain:
    """One picture after the other, as long as it must be; without colours where there is no terminal."""

    def __init__(self, where: str, stream: TextIO) -> None:
        self._screen = Screen(where, full=True)
        self._console = Console(file=stream, highlight=False)

    def __enter__(self) -> Plain:
        """Begin."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End."""

    def take(self, found: Found) -> None:
        """Print it."""
        self._screen.take(found)
        self._console.print(self._screen)


class LiveScreen:
    """A screen of its own that follows the terminal's size, until it is left."""

    def __init__(self, where: str, stream: TextIO) -> None:
        self._screen = Screen(where, hint="q quits")
        console = Console(file=stream, highlight=False)
        self._live = Live(self._screen, console=console, screen=True, auto_refresh=False)

    def __enter__(self) -> LiveScreen:
        """Begin to draw."""
        self._live.start()
        self._live.refresh()
        asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, self._live.refresh)
        return self

    def __exit__(self, *_error: object) -> None:
        """Leave the terminal as it was."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGWINCH)
        self._live.stop()

    def take(self, found: Found) -> None:
        """Draw it."""
        self._screen.take(found)
        self._live.refresh()


def as_json(found: Found) -> str:
    """Return what was found as one line; what is not known is null."""
    if isinstance(found, NoAnswer):
        return orjson.dumps({"at_unix_s": time.time(), "error": str(found)}).decode()
    told = asdict(found) | {"alarms": [asdict(alarm) for alarm in alarms(found)]}
    return orjson.dumps(told).decode()


async def watch(source: Source, make: Callable[[], Show], interval_s: float, *, once: bool) -> None:
    """Show what is found every interval until q, Ctrl-C or the task's end; once: the first alone.

    Raises NoAnswer if there is none and once is asked for.
    """
    stop = asyncio.Event()
    interactive = not once and sys.stdin.isatty() and sys.stdout.isatty()
    async with source:
        with _keys(stop) if interactive else _nothing(), make() as show:
            async for found in _looks(source, interval_s, stop):
                if once and isinstance(found, NoAnswer):
                    raise found
                show.take(found)
                if once:
                    return


async def _looks(source: Source, interval_s: float, stop: asyncio.Event) -> AsyncIterator[Found]:
    before: Reading | None = None
    while not stop.is_set():
        due_s = time.monotonic() + interval_s
        try:
            now = await source.read()
        except NoAnswer as failure:
            yield failure
        else:
            if before is not None:
                yield snapshot(Change(before, now), time.time())
            before = now
        try:
            async with asyncio.timeout(max(0.0, due_s - time.monotonic())):
                await stop.wait()
        except TimeoutError:
            continue


@contextmanager
def _keys(stop: asyncio.Event) -> Iterator[None]:
    """Let q set stop; keys are not echoed."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    loop = asyncio.get_running_loop()

    def read() -> None:
        keys = os.read(terminal, 64)
        if not keys or any(key in _QUIT for key in keys):
            stop.set()

    tty.setcbreak(terminal)
    loop.add_reader(terminal, read)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _nothing() -> AbstractContextManager[None]:
    return nullcontext()
