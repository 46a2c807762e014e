"""What a client process is asked to do, and how that is said on its command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Job:
    """Send `total` requests to a port, `streams` in flight over `connections`, which divide them evenly."""

    directory: Path
    port: int
    connections: int
    streams: int
    total: int

    @property
    def ca(self) -> Path:
        """The authority that signed the server's certificate."""
        return self.directory / "ca.pem"

    def words(self) -> list[str]:
        """Return what `parse` reads."""
        return [str(self.directory), *map(str, (self.port, self.connections, self.streams, self.total))]


def parse(words: Sequence[str]) -> Job:
    """Return the job that `Job.words` told. Raises ValueError."""
    directory, port, connections, streams, total = words
    return Job(Path(directory), int(port), int(connections), int(streams), int(total))
