"""The connection to the gateway: TLS unless it stays on this host, and a key on every call."""

from __future__ import annotations

import ipaddress

import grpc

from gateway.client.options import Tls

Metadata = tuple[tuple[str, str], ...]
MAX_ANSWER_BYTES = 64 << 20
# https://grpc.github.io/grpc/core/group__grpc__arg__keys.html; retries are the client's own, with its own deadline.
_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.max_send_message_length", MAX_ANSWER_BYTES),
    # Clients of one process do not share a connection, so that several of them reach several workers.
    ("grpc.use_local_subchannel_pool", 1),
)


def open_channel(address: str, tls: Tls | None, *, insecure: bool) -> grpc.aio.Channel:
    """Make a channel, which connects at its first call. Raises ValueError for plain text beyond loopback."""
    if tls is not None:
        return grpc.aio.secure_channel(address, _credentials(tls), _options(tls))
    if not insecure and not is_loopback(address):
        raise ValueError(f"{address} is not on this host: give tls=Tls(...), or insecure=True")
    return grpc.aio.insecure_channel(address, _OPTIONS)


def key_metadata(key: str | None) -> Metadata:
    """Return what shows a caller's key."""
    return (("authorization", f"Bearer {key}"),) if key else ()


def is_loopback(address: str) -> bool:
    """Tell whether host:port, [v6]:port or unix:path stays on this host."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    read = [None if path is None else path.read_bytes() for path in (tls.ca_file, tls.key_file, tls.cert_file)]
    return grpc.ssl_channel_credentials(*read)


def _options(tls: Tls) -> tuple[tuple[str, int | str], ...]:
    named = (("grpc.ssl_target_name_override", tls.server_name),) if tls.server_name else ()
    return (*_OPTIONS, *named)
