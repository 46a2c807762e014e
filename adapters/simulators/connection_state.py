"""What a simulator remembers about one connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from adapters.simulators.apns_envelope import Identity
from adapters.simulators.provider_tokens import ProviderKey


@dataclass(slots=True)
class ConnectionState:
    """requests: how many came. key: the signing key it is bound to since its first valid provider token.

    certificate: the sender by its client certificate, which then needs no provider token. open: told the real
    MAX_CONCURRENT_STREAMS.
    """

    requests: int = 0
    key: ProviderKey | None = None
    identity: Identity | None = None
    certificate: Identity | None = None
    open: bool = False

    @property
    def authorised(self) -> bool:
        """Whether the sender has shown who it is."""
        return self.identity is not None or self.certificate is not None


def certified(certificate: Mapping[str, object]) -> Identity | None:
    """Return who shows this client certificate: the subject's UID is the one topic that it may push to.

    certificate: as `SSLSocket.getpeercert` tells it.
    """
    subject = cast("tuple[tuple[tuple[str, str], ...], ...]", certificate.get("subject", ()))
    for relative_name in subject:
        for attribute, text in relative_name:
            if attribute == "userId":
                return Identity(f"certificate {text}", frozenset((text,)), by_token=False)
    return None
