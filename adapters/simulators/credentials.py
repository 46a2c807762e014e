"""One directory with everything that a gateway needs to talk to the simulators, and they to check it."""

from __future__ import annotations

import json
import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from adapters.simulators.authority import HOSTS, CertificateAuthority, KeyPair, write_private_key
from adapters.simulators.provider_tokens import ProviderKey

KEY_ID = "SIMKEY0001"
TEAM_ID = "SIMTEAM001"
PROJECT_ID = "walletpush-simulated"
TOPIC = "com.example.wallet"
# Gateways whose provider hosts cannot be set come here through a proxy, and look for Apple's names.
APPLE_HOSTS = ("api.push.apple.com", "api.sandbox.push.apple.com")


@dataclass(frozen=True, slots=True)
class SimulatorCredentials:
    """Where the files lie. service_account exists once the simulators run, since it names their OAuth port.

    ca_certificate: what a gateway must trust. client: an APNs certificate for `TOPIC`, as an alternative to apns_key.
    """

    directory: Path

    @property
    def ca_certificate(self) -> Path:
        """The authority's certificate, PEM."""
        return self.directory / "ca.pem"

    @property
    def server(self) -> KeyPair:
        """The simulators' certificate, for localhost, the loopback addresses and Apple's hosts."""
        return KeyPair(self.directory / "server.pem", self.directory / "server.key")

    @property
    def client(self) -> KeyPair:
        """A client certificate whose subject UID is TOPIC."""
        return KeyPair(self.directory / "client.pem", self.directory / "client.key")

    @property
    def apns_key(self) -> Path:
        """The APNs signing key (EC P-256, PKCS#8 PEM); KEY_ID and TEAM_ID go with it."""
        return self.directory / f"AuthKey_{KEY_ID}.p8"

    @property
    def service_account(self) -> Path:
        """The FCM service account, in Google's JSON form."""
        return self.directory / "service_account.json"

    def server_context(self) -> ssl.SSLContext:
        """Make the TLS context of the HTTP/2 simulators; a client certificate is asked for, not demanded."""
        context = self._context("h2")
        context.load_verify_locations(self.ca_certificate)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def oauth_context(self) -> ssl.SSLContext:
        """Make the TLS context of the OAuth token endpoint, which speaks HTTP/1.1."""
        return self._context("http/1.1")

    def client_context(self) -> ssl.SSLContext:
        """Make a context that trusts the simulators; the caller sets ALPN."""
        return ssl.create_default_context(cafile=str(self.ca_certificate))

    def provider_key(self) -> ProviderKey:
        """Return the public half of the APNs key."""
        key = serialization.load_pem_private_key(self.apns_key.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self.apns_key} holds no EC key")
        return ProviderKey(KEY_ID, TEAM_ID, key.public_key())

    def account_key(self) -> rsa.RSAPublicKey:
        """Return the public half of the service account's key."""
        key = serialization.load_pem_private_key(self._account_key_file.read_bytes(), None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError(f"{self._account_key_file} holds no RSA key")
        return key.public_key()

    @property
    def account_email(self) -> str:
        """The service account's name, `iss` of its assertions."""
        return f"gateway@{PROJECT_ID}.iam.gserviceaccount.com"

    def bearer_secret(self) -> bytes:
        """Return what bearer tokens are sealed with, so that every simulator process knows those of the others."""
        return (self.directory / "bearer.secret").read_bytes()

    def write_service_account(self, token_uri: str) -> None:
        """Write the service account's file for an OAuth endpoint."""
        account = {
            "type": "service_account",
            "project_id": PROJECT_ID,
            "private_key_id": "simulated",
            "private_key": self._account_key_file.read_text(),
            "client_email": self.account_email,
            "client_id": "100000000000000000000",
            "token_uri": token_uri,
        }
        self.service_account.touch(mode=0o600)
        self.service_account.write_text(json.dumps(account, indent=2))

    @property
    def _account_key_file(self) -> Path:
        return self.directory / "service_account.key"

    def _context(self, alpn: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.server.certificate, self.server.key)
        context.set_alpn_protocols([alpn])
        return context


def make_credentials(directory: Path) -> SimulatorCredentials:
    """Write the files, or find those of an earlier call, so that a restarted simulator still knows its gateway."""
    credentials = SimulatorCredentials(directory)
    complete = directory / "bearer.secret"
    if complete.exists():
        return credentials
    authority = CertificateAuthority.create(directory)
    authority.issue_server("server", (*HOSTS, *APPLE_HOSTS))
    authority.issue_client("client", user_id=TOPIC)
    write_private_key(credentials.apns_key, ec.generate_private_key(ec.SECP256R1()))
    write_private_key(directory / "service_account.key", rsa.generate_private_key(65537, 2048))
    complete.touch(mode=0o600)
    complete.write_bytes(secrets.token_bytes(32))
    return credentials
