"""One import of a file of users, with its bar and its list of what was not taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.client import Walletpush
from gateway.client.importing import ImportProgress
from gateway.commands.failure import BAD_USAGE, CommandFailed
from gateway.commands.output import note
from gateway.commands.user_lines import Line, read_lines
from protos.walletpush.v1 import user_pb2

_SHOWN_FAULTS = 20


class FileImport:
    """Use as a context; one that ends by an error says where to go on."""

    def __init__(self, file: Path, app: str, first_line: int, faults: Path | None) -> None:
        self.stored = self.faulty = 0
        self._lines = read_lines(file, app, first_line)
        self._file = file
        self._next_line = first_line
        self._sent: deque[Line] = deque()
        self._stack = ExitStack()
        self._faults: TextIO | None = None
        self._faults_file = faults
        self._bar = Progress(
            BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.description}"),
            TimeRemainingColumn(), console=Console(stderr=True), disable=not Console(stderr=True).is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=max(1, file.stat().st_size))

    def __enter__(self) -> Self:
        """Begin to show the bar."""
        if self._faults_file is not None:
            self._faults = self._stack.enter_context(self._faults_file.open("w", encoding="utf-8"))
        self._stack.enter_context(self._bar)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the bar, and say where to go on unless all was sent."""
        self._stack.close()
        if isinstance(error, CommandFailed | KeyboardInterrupt):
            note(f"All before line {self._next_line} is done: go on with --from-line {self._next_line}")

    async def work(self, client: Walletpush) -> None:
        """Send the file's users. Raises CommandFailed when the file cannot be read."""
        try:
            async for progress in client.users.import_all(self._users()):
                self._advance(progress)
        except (OSError, ValueError) as error:
            raise CommandFailed(f"{self._file}: {error}", BAD_USAGE) from error

    def _users(self) -> Iterator[user_pb2.User]:
        for line in self._lines:
            if line.user is None:
                self._fault(line.number, line.why)
            else:
                self._sent.append(line)
                yield line.user

    def _advance(self, progress: ImportProgress) -> None:
        count = progress.stored - self.stored + len(progress.failures)
        done = [self._sent.popleft() for _ in range(count)]
        self.stored = progress.stored
        first = progress.acknowledged - count
        for place, failure in progress.failures:
            self._fault(done[place - first].number, str(failure))
        self._next_line = done[-1].number + 1
        self._bar.update(self._task, completed=done[-1].end, description=f"{self.stored:,} stored")

    def _fault(self, number: int, why: str) -> None:
        self.faulty += 1
        if self._faults is not None:
            self._faults.write(f"{number}\t{why}\n")
        if self.faulty <= _SHOWN_FAULTS:
            note(f"line {number}: {why}")
        elif self.faulty == _SHOWN_FAULTS + 1:
            note("and more; --faults FILE takes them all")
