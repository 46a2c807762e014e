"""The journal's frame of one message: who sent it, and its canonical protobuf bytes."""

from __future__ import annotations

from core.errors import StoreFailure
from protos.walletpush.v1 import notification_pb2 as pb

_VERSION = 1


def frame_prefix(tenant: str) -> bytes:
    """Return what stands before each of a tenant's messages: version, length of the name, name (at most 128 bytes)."""
    name = tenant.encode()
    return bytes((_VERSION, len(name))) + name


def parse_frame(frame: bytes) -> tuple[str, pb.Notification]:
    """Return the tenant and the message of a frame. Raises StoreFailure if it is none."""
    if len(frame) < 2 or frame[0] != _VERSION:
        raise StoreFailure(f"a journal frame of version {frame[0] if frame else None}, this gateway reads {_VERSION}")
    end = 2 + frame[1]
    try:
        return frame[2:end].decode(), pb.Notification.FromString(frame[end:])
    except (UnicodeDecodeError, ValueError) as error:
        raise StoreFailure(f"a damaged journal frame: {error}") from error
