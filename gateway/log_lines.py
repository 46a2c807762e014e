"""Lines on their way to a stream that may block: written by one thread, dropped and counted when it cannot follow."""

from __future__ import annotations

import queue
import threading
from typing import TextIO

MAX_LINES = 10_000


class LineWriter:
    """A file-like object whose write never waits for the stream behind it."""

    def __init__(self, stream: TextIO, max_lines: int = MAX_LINES) -> None:
        self._stream = stream
        self._max_lines = max_lines
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many lines were dropped in all."""
        return self._dropped

    def write(self, line: str) -> int:
        """Queue a line, or drop it."""
        if self._lines.qsize() >= self._max_lines:
            self._dropped += 1
        else:
            self._lines.put(line)
        return len(line)

    def flush(self) -> None:
        """Do nothing: the thread flushes when it has nothing more to write."""

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is queued, at most for timeout_s."""
        self._lines.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        told = 0
        while (line := self._lines.get()) is not None:
            try:
                self._stream.write(line)
                if self._dropped > told:
                    told = self._dropped
                    self._stream.write(f'{{"event": "log_lines_dropped", "total": {told}}}\n')
                if self._lines.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                # The stream is gone (closed pipe or file): there is nowhere left to say so.
                return
