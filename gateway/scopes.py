"""What each caller's requests are bounded by, made from the settings and remembered."""

from __future__ import annotations

from collections.abc import Mapping

from core.errors import InvalidRequest
from core.hashing import SipHash
from gateway.callers import Caller
from gateway.convert import Scope

# Tags and device keys must not change over a restart, while they need no secrecy of their own: the hasher is keyed.
_TAG_BITS = 0xFFFFFFFF
_MAX_TENANTS = 10_000


class Scopes:
    """Scopes by caller; providers: of each configured app."""

    def __init__(self, providers: Mapping[str, frozenset[int]], hasher: SipHash) -> None:
        self._providers = dict(providers)
        self._hasher = hasher
        self._by_caller: dict[str, Scope] = {}
        self._by_tenant: dict[str, Scope] = {}
        self.app_names = {self.tag(f"app\0{app}"): app for app in providers}

    def of(self, caller: Caller) -> Scope:
        """Return the scope of a caller: the apps it may use, under its tenant."""
        scope = self._by_caller.get(caller.name)
        if scope is None:
            apps = {app: found for app, found in self._providers.items() if caller.may_use(app)}
            scope = self._by_caller[caller.name] = self._scope(caller.tenant, apps)
        return scope

    def of_tenant(self, tenant: str) -> Scope:
        """Return a scope over all apps, for what was accepted before a restart."""
        scope = self._by_tenant.get(tenant)
        if scope is None:
            if len(self._by_tenant) >= _MAX_TENANTS:
                self._by_tenant.clear()
            scope = self._by_tenant[tenant] = self._scope(tenant, self._providers)
        return scope

    def providers_of(self, app: str) -> frozenset[int]:
        """Return the providers of an app; empty for an unknown one."""
        return self._providers.get(app, frozenset())

    def tag(self, name: str) -> int:
        """Return the 32-bit tag under which receipts keep a tenant or app."""
        return self._hasher.hash64(name) & _TAG_BITS

    def tenant_tag(self, tenant: str) -> int:
        """Return a tenant's tag."""
        return self.tag(f"tenant\0{tenant}")

    def app_tag(self, app: str) -> int:
        """Return an app's tag."""
        return self.tag(f"app\0{app}")

    def _scope(self, tenant: str, apps: Mapping[str, frozenset[int]]) -> Scope:
        return Scope(tenant, self.tenant_tag(tenant), apps, {app: self.app_tag(app) for app in apps})


def require_app(scope: Scope, field: str, app: str) -> str:
    """Return the app if it is configured and the caller's. Raises InvalidRequest."""
    if app not in scope.providers:
        raise InvalidRequest(field, "is required" if not app else f"unknown app {app[:64]!r}, or not yours")
    return app
