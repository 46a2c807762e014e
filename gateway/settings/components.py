"""The settings of each part of the gateway but the apps, with their defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from gateway.settings.policy import ChannelName
from gateway.settings.values import Component, CredentialFile, Listen, PublicFile, PublicUrl, Rate, WebListen

MIB = 1 << 20
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
Level = Literal["debug", "info", "warning", "error"]
KeyHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ServerSettings(Component):
    """The gRPC server that callers talk to."""

    listen: Listen = "127.0.0.1:50051"
    """host:port or unix:/path. Off loopback needs TLS and callers."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that share the port; each has its own journal."""
    tls_cert_file: PublicFile | None = Field(default=None, examples=["tls/server.crt"])
    """PEM certificate chain."""
    tls_key_file: CredentialFile | None = Field(default=None, examples=["tls/server.key"])
    """PEM private key."""
    client_ca_file: PublicFile | None = Field(default=None, examples=["tls/clients.crt"])
    """PEM bundle; when set, clients must show a certificate of it."""
    max_message_bytes: int = Field(default=16 * MIB, ge=64 * 1024, le=256 * MIB)
    """Largest request or answer."""
    keepalive_s: int = Field(default=60, ge=10, le=7200)
    """Idle seconds before the server pings a connection."""
    keepalive_timeout_s: int = Field(default=20, ge=1, le=600)
    """Seconds to wait for that ping's answer."""
    min_client_ping_s: int = Field(default=10, ge=1, le=3600)
    """Clients that ping more often are disconnected."""
    max_concurrent_rpcs: int = Field(default=10_000, ge=1, le=1_000_000)
    """More are RESOURCE_EXHAUSTED, per worker."""
    drain_s: float = Field(default=20.0, ge=0, le=600)
    """Seconds after SIGTERM to finish what is in flight."""

    @model_validator(mode="after")
    def _whole_tls(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together")
        if self.client_ca_file is not None and self.tls_cert_file is None:
            raise ValueError("client_ca_file needs tls_cert_file and tls_key_file")
        return self


class WebSettings(Component):
    """The HTTP server for metrics and health, and for the pages of wallet users."""

    listen: WebListen = "127.0.0.1:9090"
    """host:port. Off loopback needs TLS and callers, as above."""
    public_url: PublicUrl | None = Field(default=None, examples=["https://notices.example.com"])
    """Where users reach /u/ (unsubscribe) and /p/ (preferences), by a proxy for instance; none: no links, no pages."""
    link_days: int = Field(default=60, ge=30, le=3_650)
    """How long links in messages work; the law of several countries wants 30 days at least."""
    link_key_file: CredentialFile | None = Field(default=None, examples=["keys/links"])
    """Keys that sign links, one a line in 64 hex digits, newest first; the gateway's own secret stands in."""
    proxied: bool = False
    """Whether the proxy in front is trusted to name the browser last in X-Forwarded-For, for rate limits."""
    channels: tuple[ChannelName, ...] = Field(default=("push", "sms", "email", "web_push", "in_app"), min_length=1)
    """Channels that the preference centre offers."""
    app_names: Mapping[str, str] = Field(default={}, examples=[{"com.example.wallet": "Example Wallet"}])
    """What the pages call each app; its id where none is named."""
    tls_cert_file: PublicFile | None = Field(default=None, examples=["tls/web.crt"])
    """PEM certificate chain."""
    tls_key_file: CredentialFile | None = Field(default=None, examples=["tls/web.key"])
    """PEM private key."""

    @model_validator(mode="after")
    def _whole_tls(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together")
        self.link_keys()
        return self

    def link_keys(self) -> tuple[bytes, ...]:
        """Return the keys of the key file, 32 bytes each. Raises ValueError when it holds something else."""
        if self.link_key_file is None:
            return ()
        lines = tuple(self.link_key_file.path.read_text("ascii", "replace").split())
        if not lines or not all(re.fullmatch("[0-9a-fA-F]{64}", line) for line in lines):
            raise ValueError("link_key_file must hold one key of 64 hex digits a line (openssl rand -hex 32)")
        return tuple(map(bytes.fromhex, lines))


class LogSettings(Component):
    """What is logged and how."""

    level: Level = "info"
    """The least level that is written."""
    format: Literal["json", "console"] = "json"
    """json for machines, console for people."""


class CallerSettings(Component):
    """A service that may call the gateway."""

    name: Name = Field(examples=["payments"])
    """Appears in logs and metrics."""
    tenant: Name = "default"
    """Whose share and limits its notifications use."""
    key_sha256: tuple[KeyHash, ...] = Field(default=(), examples=[["0" * 64]])
    """SHA-256 of each bearer key it may show, in hex; two while keys are rotated."""
    key_hash_file: CredentialFile | None = Field(default=None, examples=["callers/payments.sha256"])
    """A file with one such hash a line, instead."""
    client_name: str | None = Field(default=None, min_length=1, examples=["payments.svc"])
    """With client_ca_file: its certificate's DNS name, URI or CN."""
    apps: tuple[str, ...] = Field(min_length=1, examples=[["com.example.wallet"]])
    """Ids of the apps it may send for; "*" is all of them."""
    may_send: bool = True
    """May send and cancel notifications."""
    may_manage_devices: bool = False
    """May register, unregister and list devices."""
    may_manage_users: bool = False
    """Keep users and what they said of consent; ask why they would hear of something."""
    may_manage_templates: bool = False
    """Publish and retire templates; a preview with a user of theirs needs may_manage_users too."""
    may_manage_privacy: bool = False
    """Export and erase users, read the audit log."""
    may_read_receipts: bool = True
    """May read its tenant's receipts."""
    may_read_metrics: bool = False
    """May read /metrics where it is guarded."""

    @model_validator(mode="after")
    def _has_identity(self) -> Self:
        if not self.key_sha256 and self.key_hash_file is None and self.client_name is None:
            raise ValueError("needs one of key_sha256, key_hash_file and client_name")
        self.key_hashes()
        return self

    def key_hashes(self) -> tuple[str, ...]:
        """Return the hashes of all its keys. Raises ValueError when the hash file holds something else."""
        if self.key_hash_file is None:
            return self.key_sha256
        lines = tuple(self.key_hash_file.path.read_text("ascii", "replace").split())
        if not lines or not all(re.fullmatch("[0-9a-f]{64}", line) for line in lines):
            raise ValueError("key_hash_file must hold one SHA-256 in lower-case hex a line")
        return (*self.key_sha256, *lines)


RATE_EXAMPLE = {"per_s": 5000.0, "burst": 10000}


class LimitOverrides(Component):
    """Rates that replace the general one, by name."""

    provider: Mapping[str, Rate] = Field(default={}, examples=[{"apns": RATE_EXAMPLE}])
    """apns or fcm."""
    app: Mapping[str, Rate] = Field(default={}, examples=[{"com.example.wallet": RATE_EXAMPLE}])
    """By app id."""
    tenant: Mapping[str, Rate] = Field(default={}, examples=[{"payments": RATE_EXAMPLE}])
    """By tenant."""
    campaign: Mapping[str, Rate] = Field(default={}, examples=[{"spring-sale": RATE_EXAMPLE}])
    """By campaign id."""


class LimitSettings(Component):
    """How fast deliveries leave; a delivery needs a token from each that is set, none set is no limit."""

    provider: Rate | None = Field(default=None, examples=[RATE_EXAMPLE])
    """For each provider."""
    app: Rate | None = Field(default=None, examples=[RATE_EXAMPLE])
    """For each app."""
    tenant: Rate | None = Field(default=None, examples=[RATE_EXAMPLE])
    """For each tenant."""
    campaign: Rate | None = Field(default=None, examples=[RATE_EXAMPLE])
    """For each campaign."""
    capacity: int = Field(default=1_000_000, ge=1024, le=64_000_000)
    """Named buckets kept at a time."""
    overrides: LimitOverrides = LimitOverrides()
    """Rates for single names."""


class DedupSettings(Component):
    """How long and how many idempotency keys are remembered."""

    window_s: int = Field(default=3600, ge=1, le=7 * 86400)
    """A key is a duplicate for this long."""
    capacity: int = Field(default=4_000_000, ge=1024, le=1 << 31)
    """Keys remembered on this host, about 40 bytes each."""


class JournalSettings(Component):
    """The durable record of what was accepted and what became of it."""

    retention_s: int = Field(default=86_400, ge=60, le=90 * 86400)
    """How long receipts can be read."""
    max_bytes: int = Field(default=8192 * MIB, ge=16 * MIB)
    """Intake stops with RESOURCE_EXHAUSTED when a worker's file is larger."""
    queue_bytes: int = Field(default=64 * MIB, ge=MIB, le=4096 * MIB)
    """What may wait for the disk before callers are told to wait."""
    commit_bytes: int = Field(default=4 * MIB, ge=64 * 1024, le=64 * MIB)
    """Commit at once when this much waits."""


class DispatchSettings(Component):
    """How accepted notifications move to the providers."""

    max_pending: int = Field(default=1_000_000, ge=1000, le=100_000_000)
    """Unfinished deliveries per worker; more is RESOURCE_EXHAUSTED."""
    marketing_share: float = Field(default=0.8, gt=0, le=1)
    """Marketing is refused above this share of max_pending."""
    service_share: float = Field(default=0.9, gt=0, le=1)
    """Service notifications are refused above this share."""
    batch_size: int = Field(default=256, ge=1, le=1_024)
    """Deliveries put on a connection at once."""
    linger_ms: float = Field(default=1.0, ge=0, le=1000)
    """Wait for more deliveries before a batch is sent."""
    request_timeout_s: float = Field(default=30.0, gt=0, le=600)
    """A provider that has not answered by then may have delivered."""
    max_attempts: int = Field(default=20, ge=1, le=1000)
    """Attempts per delivery, within its lifetime."""
    backoff_base_ms: int = Field(default=500, ge=1, le=600_000)
    """Full jitter: the first retry waits 0 to this long."""
    backoff_cap_ms: int = Field(default=60_000, ge=1, le=3_600_000)
    """Largest wait before a retry."""
    breaker_window_s: float = Field(default=10.0, gt=0, le=600)
    """Faults are counted over this time."""
    breaker_min_answers: int = Field(default=20, ge=1, le=100_000)
    """Answers needed before a breaker may open."""
    breaker_fault_share: float = Field(default=0.5, gt=0, le=1)
    """A breaker opens when this share of answers are faults."""
    breaker_open_s: float = Field(default=1.0, gt=0, le=3600)
    """First wait before a probe; doubles while probes fail."""
    breaker_open_cap_s: float = Field(default=15.0, gt=0, le=3600)
    """Largest wait before a probe."""
    breaker_probes: int = Field(default=5, ge=1, le=1000)
    """Deliveries tried in a probe."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.marketing_share > self.service_share:
            raise ValueError("marketing_share must not be above service_share: marketing is shed first")
        if self.backoff_base_ms > self.backoff_cap_ms:
            raise ValueError("backoff_base_ms must not be above backoff_cap_ms")
        if self.breaker_open_s > self.breaker_open_cap_s:
            raise ValueError("breaker_open_s must not be above breaker_open_cap_s")
        return self


class MassDeathSettings(Component):
    """The guard that keeps a wrong credential from emptying the registry."""

    window_s: int = Field(default=600, ge=1, le=86_400)
    """Dead tokens of an app are counted over this time."""
    min_deaths: int = Field(default=200, ge=1, le=10_000_000)
    """Dead tokens needed before the guard may hold."""
    max_share: float = Field(default=0.2, gt=0, le=1)
    """Above this share of dead tokens, none is removed until an operator looks."""
    hold_s: int = Field(default=3600, ge=1, le=7 * 86400)
    """How long removals are held."""
