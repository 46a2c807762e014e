"""Instructions by stage and by function, from the files that callgrind writes.

Source: https://valgrind.org/docs/manual/cl-format.html
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_STAGE = re.compile(r"^desc: Trigger: Client Request: (.+)$")
_FUNCTION = re.compile(r"^fn=\((\d+)\)(?: (.*))?$")
_POSITION = re.compile(r"^[0-9+*-]\S* \d+$")
_OBJECT = re.compile(r"^ob=\((\d+)\)(?: (.*))?$")


@dataclass(slots=True)
class Counts:
    """Instructions, by stage, and within each by function and its library."""

    by_stage: Counter[str] = field(default_factory=Counter)
    by_function: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)

    def top(self, stage: str, count: int) -> list[tuple[str, str, int]]:
        """Return the dearest functions of a stage: name, library, own instructions."""
        found = self.by_function.get(stage, Counter()).most_common(count)
        return [(name, library, instructions) for (name, library), instructions in found]


def count(directory: Path, batches: int, size: int) -> Counts:
    """Run the driver under callgrind. Raises subprocess.CalledProcessError, FileNotFoundError without valgrind."""
    command = [
        "valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes",
        f"--callgrind-out-file={directory / 'counts'}",
        sys.executable, "-m", "bench.stages.driver", "--callgrind", "--batches", str(batches), "--size", str(size),
    ]  # fmt: skip
    # Hashing with a fixed seed makes two runs of one program the same to a few instructions in a thousand.
    fixed: Mapping[str, str] = {**os.environ, "PYTHONHASHSEED": "0"}
    subprocess.run(command, check=True, env=fixed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return read(sorted(directory.glob("counts.*")))


def read(paths: Iterable[Path]) -> Counts:
    """Sum the files of one run, one per booking; names are told once per file and by number afterwards."""
    counts = Counts()
    for path in paths:
        with path.open(errors="replace") as lines:
            read_one(lines, counts)
    return counts


def read_one(lines: Iterable[str], counts: Counts) -> None:
    """Add one file."""
    stage, function, library, inclusive = "", "", "", False
    names: dict[tuple[str, str], str] = {}
    own: Counter[tuple[str, str]] = Counter()
    for line in lines:
        if _POSITION.match(line):
            if not inclusive:
                own[function, library] += int(line.split()[1])
            inclusive = False
        elif line.startswith("calls="):
            # The next line tells what the callee cost, which is booked on the callee itself.
            inclusive = True
        elif found := _FUNCTION.match(line):
            function = names.setdefault(("fn", found[1]), found[2] or "")
        elif found := _OBJECT.match(line):
            library = Path(names.setdefault(("ob", found[1]), found[2] or "")).name
        elif line.startswith(("cfn=", "cfi=", "cob=", "fi=", "fe=", "fl=")):
            _note_name(line, names)
        elif found := _STAGE.match(line):
            stage = found[1]
    if stage:
        counts.by_stage[stage] += sum(own.values())
        counts.by_function.setdefault(stage, Counter()).update(own)


def _note_name(line: str, names: dict[tuple[str, str], str]) -> None:
    key, _, rest = line.strip().partition("=")
    number, _, name = rest.partition(" ")
    kind = {"cfn": "fn", "cob": "ob"}.get(key)
    if kind is not None and name:
        names[kind, number.strip("()")] = name
