"""The journal's frame of one message: who sent it, when it was accepted, and its canonical protobuf bytes."""

from __future__ import annotations

import struct
from typing import NamedTuple

from google.protobuf.message import DecodeError

from core.errors import StoreFailure
from protos.walletpush.v1 import notification_pb2 as pb

_VERSION = 1
# Version, length of the tenant's name, unix ms of acceptance; then the name, then the message.
_HEAD = struct.Struct("<BBq")


class Frame(NamedTuple):
    """One message as the journal gives it back."""

    tenant: str
    accepted_unix_ms: int
    message: pb.Notification


def frame_prefix(tenant: str, accepted_unix_ms: int) -> bytes:
    """Return what stands before each message that a tenant (at most 255 bytes) sent at this time."""
    name = tenant.encode()
    return _HEAD.pack(_VERSION, len(name), accepted_unix_ms) + name


def tenant_of(frame: bytes) -> str:
    """Return whose message a frame holds, without parsing it. Raises StoreFailure if it is damaged."""
    try:
        _, length, _ = _HEAD.unpack_from(frame)
        return frame[_HEAD.size : _HEAD.size + length].decode()
    except (struct.error, ValueError) as error:
        raise StoreFailure(f"a damaged journal frame: {error}") from error


def split_frame(frame: bytes) -> tuple[str, int, bytes]:
    """Return tenant, unix ms of acceptance and the message's bytes. Raises StoreFailure, as parse_frame does."""
    try:
        version, length, accepted_unix_ms = _HEAD.unpack_from(frame)
        if version != _VERSION:
            raise StoreFailure(f"a journal frame of version {version}; this gateway reads version {_VERSION}")
        end = _HEAD.size + length
        return frame[_HEAD.size : end].decode(), accepted_unix_ms, frame[end:]
    except (struct.error, ValueError) as error:
        raise StoreFailure(f"a damaged journal frame: {error}") from error


def parse_frame(frame: bytes) -> Frame:
    """Take a frame apart. Raises StoreFailure if it is damaged or of another version."""
    tenant, accepted_unix_ms, body = split_frame(frame)
    try:
        return Frame(tenant, accepted_unix_ms, pb.Notification.FromString(body))
    except (ValueError, DecodeError) as error:
        raise StoreFailure(f"a damaged journal frame: {error}") from error
