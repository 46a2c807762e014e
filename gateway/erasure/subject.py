"""Who is erased: what names them in journals and queues, and the sealed note of it until that is done."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.erasing import EditedFrame, Traces
from core.errors import StoreFailure
from core.hashing import SipHash
from core.model import Provider, Target
from gateway.frames import frame_prefix, parse_frame
from gateway.receipt_names import user_name
from protos.walletpush.v1 import notification_pb2 as pb

ERASED = "ERASED"
# In place of an idempotency key that would name the user; the dedup window knows the hash of the first one.
HUSK_KEY = "erased"
_NONCE_BYTES = 12
# Shorter ones are parts of too much else.
_MIN_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Subject:
    """A user and their devices, (provider, token) each."""

    app: str
    user_id: str
    devices: frozenset[tuple[int, str]] = frozenset()
    _plain_devices: frozenset[tuple[int, str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        plain = frozenset((provider, _plain(provider, token)) for provider, token in self.devices)
        object.__setattr__(self, "_plain_devices", plain)

    def with_devices(self, devices: Iterable[tuple[int, str]]) -> Subject:
        """Return the same user with more devices."""
        return replace(self, devices=self.devices.union(devices))

    @property
    def tokens(self) -> frozenset[str]:
        """The tokens of all devices, as they were told and as they compare."""
        return frozenset(token for _, token in (*self.devices, *self._plain_devices))

    def has(self, target: Target) -> bool:
        """Tell whether a target is one of the devices."""
        return (int(target.provider), _plain(int(target.provider), target.token)) in self._plain_devices

    def names_only(self, user_ids: Sequence[str], targets: Sequence[Target]) -> bool:
        """Tell whether these recipients are the user and their devices, and nobody else."""
        return all(one == self.user_id for one in user_ids) and all(self.has(one) for one in targets)

    def names(self, user_ids: Sequence[str], targets: Sequence[Target]) -> bool:
        """Tell whether the user or a device of theirs is among these recipients."""
        return self.user_id in user_ids or (bool(targets) and any(self.has(one) for one in targets))

    def traces(self, device_hashes: SipHash) -> Traces:
        """Return how journals find the user. device_hashes: those that receipts have their keys from."""
        folded = {token.lower().encode() for provider, token in self.devices if provider == Provider.APNS}
        exact = {token.encode() for provider, token in self.devices if provider != Provider.APNS}
        keys = self.receipt_keys(device_hashes)
        return Traces((self.user_id.encode(), *exact), tuple(folded), self.edit, keys, self._leftovers())

    def receipt_keys(self, device_hashes: SipHash) -> frozenset[int]:
        """Return the device keys of receipts that are the user's, or of a device in any spelling of its token."""
        return frozenset(device_hashes.hash64(one) for one in (user_name(self.user_id), *self.tokens))

    @property
    def row_leftovers(self) -> tuple[bytes, ...]:
        """What rows of the user or of a device would still show: in all tables the app stands behind the user."""
        tokens = {token for token in self.tokens if len(token) >= _MIN_TOKEN}
        return (f"{self.user_id}{self.app}".encode(), *(token.encode() for token in tokens))

    def _leftovers(self) -> tuple[bytes, ...]:
        """What frames that are for the user or a device would still show: a field as protobuf writes it."""
        named = [pb.Notification(user_ids=[self.user_id]).SerializeToString()]
        named += [pb.DeviceToken(token=token).SerializeToString() for token in self.tokens]
        return tuple(named)

    def edit(self, frame: bytes) -> EditedFrame | None:
        """Return a journal's frame without the user, None if it is not for them. Raises StoreFailure."""
        tenant, accepted_unix_ms, message = parse_frame(frame)
        if message.app != self.app:
            return None
        users = [one for one in message.user_ids if one != self.user_id]
        mine = self._plain_devices
        devices = [one for one in message.devices if (one.provider, _plain(one.provider, one.token)) not in mine]
        if len(users) == len(message.user_ids) and len(devices) == len(message.devices):
            return None
        prefix = frame_prefix(tenant, accepted_unix_ms)
        if not users and not devices:
            husk = pb.Notification(
                idempotency_key=HUSK_KEY, app=message.app, notification_class=message.notification_class
            )
            return EditedFrame(prefix + husk.SerializeToString(deterministic=True), True)
        _keep(message, users, devices)
        if self.user_id in message.idempotency_key or any(one in message.idempotency_key for one in self.tokens):
            message.idempotency_key = HUSK_KEY
        return EditedFrame(prefix + message.SerializeToString(deterministic=True), False)

def is_husk(message: pb.Notification) -> bool:
    """Tell whether a message is what an erasure left of one."""
    return message.idempotency_key == HUSK_KEY and not message.user_ids and not message.devices


def seal(subject: Subject, key: bytes, subject_hash: str) -> bytes:
    """Return a subject as only the key's owner can read it. key: 32 bytes."""
    plain = orjson.dumps((subject.app, subject.user_id, sorted(subject.devices)))
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, subject_hash.encode())


def unseal(sealed: bytes, key: bytes, subject_hash: str) -> Subject:
    """Return what was sealed. Raises StoreFailure if the key is another, or it was altered."""
    try:
        plain = AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], subject_hash.encode())
    except InvalidTag as error:
        raise StoreFailure("an erasure under way was sealed with another key, or altered") from error
    app, user_id, devices = orjson.loads(plain)
    return Subject(app, user_id, frozenset((provider, token) for provider, token in devices))


def _plain(provider: int, token: str) -> str:
    """Return a token as it compares: hexadecimal digits are the same in either case."""
    return token.lower() if provider == Provider.APNS else token


def _keep(message: pb.Notification, users: list[str], devices: list[pb.DeviceToken]) -> None:
    del message.user_ids[:]
    message.user_ids.extend(users)
    kept = [pb.DeviceToken.FromString(one.SerializeToString()) for one in devices]
    del message.devices[:]
    message.devices.extend(kept)
