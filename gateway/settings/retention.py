"""The settings of how long what is no longer needed is kept; receipts have journal.retention_s."""

from __future__ import annotations

from pydantic import Field

from gateway.settings.values import Component

_CENTURY = 36_500


class RetentionSettings(Component):
    """Days after which rows are removed; 0 keeps them for ever."""

    devices_days: int = Field(default=270, ge=0, le=_CENTURY)
    """Devices after their last registration. FCM lets tokens die after 270 days too."""
    consents_days: int = Field(default=1_095, ge=0, le=_CENTURY)
    """What users said, after they were deleted: the proof that they had agreed."""
    suppressions_days: int = Field(default=30, ge=0, le=_CENTURY)
    """Suppressions after their end."""
    audit_days: int = Field(default=730, ge=0, le=_CENTURY)
    """Lines of the audit log."""
    erasures_days: int = Field(default=1_095, ge=0, le=_CENTURY)
    """Proofs of erasure."""
    inactive_users_days: int = Field(default=0, ge=0, le=_CENTURY)
    """Users who neither opened the app, nor changed, nor have a device registered since; off by default."""
    interval_s: int = Field(default=21_600, ge=60, le=7 * 86_400)
    """Seconds between two looks for what is too old."""
