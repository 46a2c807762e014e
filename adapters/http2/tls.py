"""TLS as HTTP/2 asks for it: version 1.2 or newer, h2 by ALPN, the peer's certificate always verified."""

import ssl
from pathlib import Path


def client_context(
    *, certificate: Path | None = None, key: Path | None = None, extra_ca: Path | None = None
) -> ssl.SSLContext:
    """Make a context for a client.

    `certificate` and `key` (PEM; the key may stand in the certificate's file) identify us; `extra_ca` is trusted beside
    the system's authorities, for simulators and private endpoints.
    Raises OSError or ssl.SSLError for files that cannot be read or used.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    if extra_ca is not None:
        context.load_verify_locations(extra_ca)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def server_context(certificate: Path, key: Path, *, client_ca: Path | None = None) -> ssl.SSLContext:
    """Make a context for a simulator; with `client_ca`, clients must present a certificate of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(certificate, key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context
