"""How the messages of a segment lie in its payload: n x uint32 lengths, then the frames; length 0 is a dropped one."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from core.errors import StoreFailure


def pack_frames(frames: list[bytes]) -> bytes:
    """Join the frames behind their lengths."""
    return struct.pack(f"<{len(frames)}I", *map(len, frames)) + b"".join(frames)


def unpack_frames(payload: bytes, count: int, indexes: Iterable[int]) -> list[bytes]:
    """Return the frames at these indexes, in their order; b"" for one that was dropped.

    count: of the segment. Raises StoreFailure if the payload is not as long as it says.
    """
    offsets = frame_offsets(payload, count)
    return [payload[offsets[index] : offsets[index + 1]] for index in indexes]


def drop_frames(payload: bytes, states: bytes, keep: frozenset[int]) -> bytes:
    """Return the payload without the frames whose state is not one to keep.

    Raises StoreFailure if the payload is not as long as it says.
    """
    frames = unpack_frames(payload, len(states), range(len(states)))
    return pack_frames([frame if state in keep else b"" for frame, state in zip(frames, states, strict=True)])


def frame_offsets(payload: bytes, count: int) -> list[int]:
    """Return where each frame begins, and last where the payload ends."""
    if len(payload) < 4 * count:
        raise StoreFailure("a payload is cut short")
    offsets = [4 * count]
    at = 4 * count
    for length in struct.unpack_from(f"<{count}I", payload):
        at += length
        offsets.append(at)
    if at != len(payload):
        raise StoreFailure(f"a payload has {len(payload)} bytes where {at} were written")
    return offsets
