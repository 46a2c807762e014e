"""By which hashes users and devices are counted, so that what moves, exports and forgets counts finds the same keys."""

from __future__ import annotations

from core.hashing import SipHash


def user_hashes(hashes: SipHash, app: str) -> SipHash:
    """Return what hashes an app's user ids."""
    return hashes.derive(f"cap user of {app}")


def device_hashes(hashes: SipHash, app: str) -> SipHash:
    """Return what hashes the names of an app's devices."""
    return hashes.derive(f"cap device of {app}")


def device_name(provider: int, token: str) -> str:
    """Return what of a device is hashed."""
    return f"{provider}:{token}"


def stranger_name(provider: int, token: str) -> str:
    """Return what is hashed as a user's id for a device whose user is not known; no user's id holds a NUL."""
    return f"\0{device_name(provider, token)}"
