"""TLS material for tests: a throw-away CA with one server and one client certificate, made once per process."""

from __future__ import annotations

import atexit
import shutil
import ssl
import tempfile
from functools import cache
from pathlib import Path

from adapters.simulators.authority import CertificateAuthority, KeyPair


class TlsFiles:
    """The files, and the contexts made of them; ALPN is h2 unless told otherwise."""

    def __init__(self, directory: Path) -> None:
        authority = CertificateAuthority.create(directory)
        self.ca: Path = authority.certificate
        self.server: KeyPair = authority.issue_server("server")
        self.client: KeyPair = authority.issue_client("client", user_id="com.example.wallet")

    def server_context(self, alpn: str = "h2", *, client_certificate: bool = False) -> ssl.SSLContext:
        """Make a server's context; with client_certificate the peer must show one of this CA."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.server.certificate, self.server.key)
        context.set_alpn_protocols([alpn])
        if client_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context

    def client_context(self, alpn: str = "h2", *, client_certificate: bool = False) -> ssl.SSLContext:
        """Make a client's context that trusts this CA alone and checks host names."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols([alpn])
        if client_certificate:
            context.load_cert_chain(self.client.certificate, self.client.key)
        return context


@cache
def tls_files() -> TlsFiles:
    """Return the process's TLS files; they lie in a temporary directory that goes with the process."""
    directory = tempfile.mkdtemp(prefix="walletpush-tls-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return TlsFiles(Path(directory))
