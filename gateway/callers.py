"""Who calls: bearer keys kept as hashes, certificates by name, and what each caller may do."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

from core.errors import Refusal
from gateway.settings.components import CallerSettings

Permission = Literal[
    "send", "manage_devices", "manage_users", "manage_templates", "manage_privacy", "read_receipts", "read_metrics"
]
KEY_PREFIX = "wp_"
ALL_APPS = "*"
MAX_KEY_CHARS = 256


class Unauthenticated(Refusal):
    """The caller shows no key or certificate that is known here."""


class PermissionDenied(Refusal):
    """The caller is known and may not do this."""

    def __init__(self, caller: str, permission: str) -> None:
        super().__init__(f"caller {caller} has no permission: {permission}")
        self.permission = permission


@dataclass(frozen=True, slots=True)
class Caller:
    """A service that was recognised; apps holds "*" for all."""

    name: str
    tenant: str
    apps: frozenset[str]
    permissions: frozenset[Permission]

    def may_use(self, app: str) -> bool:
        """Tell whether it may send for an app."""
        return app in self.apps or ALL_APPS in self.apps

    def require(self, permission: Permission) -> None:
        """Raise PermissionDenied unless the caller has it."""
        if permission not in self.permissions:
            raise PermissionDenied(self.name, permission)

    def require_app(self, app: str) -> None:
        """Raise PermissionDenied unless the caller may send for the app."""
        if not self.may_use(app):
            raise PermissionDenied(self.name, f"app {app}")


LOCAL = Caller("local", "default", frozenset({ALL_APPS}), frozenset(get_args(Permission)))
current_caller: ContextVar[Caller] = ContextVar("current_caller")


def new_key() -> tuple[str, str]:
    """Make a bearer key of 256 random bits; return it and the hash that the settings keep."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    return key, hash_key(key)


def hash_key(key: str) -> str:
    """Return a key's SHA-256 in hex. No salt or stretching: a key has 256 random bits, nothing to guess."""
    return hashlib.sha256(key.encode()).hexdigest()


class CallerBook:
    """The callers of the settings, looked up by what a call shows; without any, every call is LOCAL."""

    def __init__(self, settings: Sequence[CallerSettings]) -> None:
        self._by_hash: list[tuple[bytes, Caller]] = []
        self._by_client_name: dict[str, Caller] = {}
        self._open = not settings
        for one in settings:
            caller = _caller(one)
            self._by_hash += [(bytes.fromhex(key_hash), caller) for key_hash in one.key_hashes()]
            if one.client_name is not None:
                self._by_client_name[one.client_name] = caller

    @property
    def knows_certificates(self) -> bool:
        """Tell whether a certificate's name can identify a caller."""
        return bool(self._by_client_name)

    def identify(self, authorization: str | bytes | None, client_names: Iterable[str] = ()) -> Caller:
        """Return who shows this `authorization` header, or else one of these names in a verified certificate.

        Raises Unauthenticated; a wrong key is refused even beside a known certificate.
        """
        if self._open:
            return LOCAL
        if authorization is not None:
            return self._by_key(authorization)
        for name in client_names:
            caller = self._by_client_name.get(name)
            if caller is not None:
                return caller
        raise Unauthenticated("show a key: authorization: Bearer <key>")

    def _by_key(self, authorization: str | bytes) -> Caller:
        text = authorization.decode("ascii", "replace") if isinstance(authorization, bytes) else authorization
        scheme, _, key = text.partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(key) <= MAX_KEY_CHARS:
            raise Unauthenticated("authorization must be: Bearer <key>")
        shown = hashlib.sha256(key.strip().encode("utf-8", "replace")).digest()
        found: Caller | None = None
        # All are compared, so that the time says nothing about which of them came close.
        for stored, caller in self._by_hash:
            if hmac.compare_digest(stored, shown):
                found = caller
        if found is None:
            raise Unauthenticated("the key is not known")
        return found


def _caller(settings: CallerSettings) -> Caller:
    granted: dict[Permission, bool] = {
        "send": settings.may_send,
        "manage_devices": settings.may_manage_devices,
        "manage_users": settings.may_manage_users,
        "manage_templates": settings.may_manage_templates,
        "manage_privacy": settings.may_manage_privacy,
        "read_receipts": settings.may_read_receipts,
        "read_metrics": settings.may_read_metrics,
    }
    permissions = frozenset(permission for permission, given in granted.items() if given)
    return Caller(settings.name, settings.tenant, frozenset(settings.apps), permissions)
