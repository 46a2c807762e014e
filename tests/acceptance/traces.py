"""Looking for what named somebody, in every file and every encoding that a file might have it in."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

HOLE = bytes(4_096)


class Trace(NamedTuple):
    """Where something was found, and how it was written there."""

    file: str
    what: str
    encoding: str


def encodings_of(text: str) -> Iterator[tuple[str, bytes]]:
    """Give a text as bytes in each way that is looked for."""
    plain = text.encode()
    for encoding in ("utf-8", "utf-16le", "utf-16be"):
        yield encoding, text.encode(encoding)
    yield "hex", plain.hex().encode()
    yield "HEX", plain.hex().upper().encode()
    yield "case", text.upper().encode()
    if all(one in "0123456789abcdefABCDEF" for one in text) and len(text) % 2 == 0:
        yield "from hex", bytes.fromhex(text)
    for shift in range(3):
        # What stands beside it changes the first and the last digits; those in between are the same.
        skipped = -(-8 * shift // 6)
        whole = (8 * (shift + len(plain))) // 6
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            yield f"{name}+{shift}", encode(b"\0" * shift + plain)[skipped:whole]


def traces(files: Iterable[Path], texts: Iterable[str]) -> list[Trace]:
    """Return where any of the texts is found."""
    needles = [(text, encoding, written) for text in texts for encoding, written in encodings_of(text)]
    found = []
    for path in files:
        try:
            # Files that are mapped are mostly holes; what stands on both sides of one is no text.
            content = path.read_bytes().replace(HOLE, b"")
        except (FileNotFoundError, OSError):
            # A socket, or a file that went meanwhile.
            continue
        found += [Trace(path.name, text, encoding) for text, encoding, written in needles if written in content]
    return found


def files_of(*directories: Path) -> list[Path]:
    """Return every file below some directories."""
    return [path for directory in directories for path in directory.rglob("*") if path.is_file()]
