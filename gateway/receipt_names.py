"""What receipts' device keys are hashes of, beside tokens, so that who exports and erases finds the same receipts."""

from __future__ import annotations


def user_name(user_id: str) -> str:
    """Return what is hashed where a receipt is a user's and no device's; a NUL is in no token."""
    return f"user\0{user_id}"
