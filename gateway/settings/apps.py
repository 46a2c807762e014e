"""The settings of an app: what it needs to speak to APNs and FCM."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from core.content.encryption import GenericText
from core.policy.rules import AppRules
from gateway.settings.components import Name
from gateway.settings.policy import CategorySettings, PolicySettings
from gateway.settings.values import Component, CredentialFile, Proxy, PublicFile

TeamId = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{10}$")]
Scheme = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9+.-]{0,31}$")]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:-]{1,253}$")]


class ApnsSettings(Component):
    """How an app reaches APNs: with a token key (team_id, key_id, key_file) or a certificate."""

    topic: str = Field(min_length=1, max_length=255, examples=["com.example.wallet"])
    """The app's bundle id."""
    team_id: TeamId | None = Field(default=None, examples=["ABCDE12345"])
    """Team of the token key."""
    key_id: TeamId | None = Field(default=None, examples=["FGHIJ67890"])
    """Id of the token key."""
    key_file: CredentialFile | None = Field(default=None, examples=["apns/AuthKey.p8"])
    """The .p8 token key."""
    cert_file: PublicFile | None = Field(default=None, examples=["apns/push.crt"])
    """PEM certificate, instead of a token key."""
    cert_key_file: CredentialFile | None = Field(default=None, examples=["apns/push.key"])
    """PEM private key of cert_file."""
    host: Host = "api.push.apple.com"
    """Production host."""
    port: int = Field(default=443, ge=1, le=65535)
    """443 or 2197."""
    sandbox_host: Host = "api.sandbox.push.apple.com"
    """Sandbox host."""
    sandbox_port: int = Field(default=443, ge=1, le=65535)
    """443 or 2197."""
    connections: int = Field(default=2, ge=1, le=64)
    """Production connections per worker."""
    sandbox_connections: int = Field(default=0, ge=0, le=64)
    """Sandbox connections per worker; 0 refuses sandbox devices."""
    ca_file: PublicFile | None = Field(default=None, examples=["tls/providers.crt"])
    """PEM bundle to trust instead of the system's."""
    proxy: Proxy | None = Field(default=None, examples=["http://proxy.internal:3128"])
    """HTTP CONNECT proxy."""
    proxy_auth_file: CredentialFile | None = Field(default=None, examples=["tls/proxy-auth"])
    """A file with user:password for it."""
    transport: Literal["nghttp2", "aioapns"] = "nghttp2"
    """aioapns is slower, for comparison."""

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        token = (self.team_id, self.key_id, self.key_file)
        certificate = (self.cert_file, self.cert_key_file)
        if any(token) and any(certificate):
            raise ValueError("has both a token key and a certificate, name one")
        if not (all(token) or all(certificate)):
            raise ValueError("needs team_id, key_id and key_file, or cert_file and cert_key_file")
        _proxy_first(self)
        return self


class FcmSettings(Component):
    """How an app reaches FCM's HTTP v1 API."""

    project_id: str = Field(min_length=1, max_length=64, pattern=r"^[a-z0-9:.-]+$", examples=["example-wallet"])
    """Firebase project."""
    service_account_file: CredentialFile = Field(examples=["fcm/account.json"])
    """Service account key in JSON."""
    host: Host = "fcm.googleapis.com"
    """Host of the API."""
    port: int = Field(default=443, ge=1, le=65535)
    """Port of the API."""
    connections: int = Field(default=4, ge=1, le=64)
    """Connections per worker; Google allows about 100 streams on each."""
    quota_per_minute: int = Field(default=600_000, ge=1, le=1_000_000_000)
    """The project's message quota, kept by us."""
    ca_file: PublicFile | None = Field(default=None, examples=["tls/providers.crt"])
    """PEM bundle to trust instead of the system's."""
    proxy: Proxy | None = Field(default=None, examples=["http://proxy.internal:3128"])
    """HTTP CONNECT proxy."""
    proxy_auth_file: CredentialFile | None = Field(default=None, examples=["tls/proxy-auth"])
    """A file with user:password for it."""

    @model_validator(mode="after")
    def _whole_proxy(self) -> Self:
        _proxy_first(self)
        return self


class EncryptionSettings(Component):
    """Contents are sealed to each device's key; providers and locked screens see only a general text."""

    enabled: bool = False
    """Whether contents are sealed. Devices without a key get the general text alone."""
    titles: Mapping[str, str] = {"en": "Wallet", "zh": "钱包"}
    """The general headline by locale or language; the first stands in for all others."""
    bodies: Mapping[str, str] = {
        "en": "You have a new message. Open the app to read it.",
        "zh": "您有一条新消息，请打开应用查看。",
    }
    """The general text, for the same languages."""

    @model_validator(mode="after")
    def _has_texts(self) -> Self:
        if not self.titles or set(self.titles) != set(self.bodies):
            raise ValueError("titles and bodies must be in the same languages, one at least")
        return self


class AppSettings(Component):
    """An app whose users are notified, on the providers that are named."""

    id: Name = Field(examples=["com.example.wallet"])
    """What callers call it."""
    apns: ApnsSettings | None = None
    """Apple devices."""
    fcm: FcmSettings | None = None
    """Android and web devices."""
    categories: Annotated[tuple[CategorySettings, ...], Field(max_length=64)] = ()
    """What users can say yes or no to; none: the built-in ones."""
    policy: PolicySettings = PolicySettings()
    """Hours, caps and defaults."""
    encryption: EncryptionSettings = EncryptionSettings()
    """End-to-end encryption of contents."""
    deep_link_schemes: Annotated[tuple[Scheme, ...], Field(max_length=16)] = Field(default=(), examples=[["wallet"]])
    """Schemes of the app's own deep links that templates may use, beside https."""

    @model_validator(mode="after")
    def _distinct_categories(self) -> Self:
        for name, count in Counter(one.name for one in self.categories).items():
            if count > 1:
                raise ValueError(f"categories: {name} is named {count} times")
        return self

    @model_validator(mode="after")
    def _known_caps(self) -> Self:
        known = {one.name for one in self.rules().categories}
        for cap in self.policy.caps:
            if cap.category and cap.category not in known:
                raise ValueError(f"policy.caps: {cap.name} counts {cap.category}, which is no category of the app")
        return self

    @model_validator(mode="after")
    def _some_provider(self) -> Self:
        if self.apns is None and self.fcm is None:
            raise ValueError("needs apns, fcm or both")
        return self

    def generic_texts(self) -> dict[str, GenericText]:
        """Return the texts that stand in the clear, the first for all other languages; none where nothing is sealed."""
        if not self.encryption.enabled:
            return {}
        own = self.encryption
        return {locale: GenericText(title, own.bodies[locale]) for locale, title in own.titles.items()}

    def rules(self) -> AppRules:
        """Return the rules that the gates follow."""
        return self.policy.to_rules(self.id, self.categories)


def _proxy_first(settings: ApnsSettings | FcmSettings) -> None:
    if settings.proxy_auth_file is not None and settings.proxy is None:
        raise ValueError("proxy_auth_file needs proxy")
