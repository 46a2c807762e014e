"""The settings of how personal data is kept."""

from __future__ import annotations

from pydantic import Field

from gateway.settings.values import Component, CredentialFile


class PrivacySettings(Component):
    """How personal data is kept."""

    key_file: CredentialFile | None = Field(default=None, examples=["keys/people.json"])
    """Keys that seal personal data (`walletpush keys rotate`). Without it made in data_dir/keys: keep backups apart."""
