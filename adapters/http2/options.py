"""How connections behave: limits and times, with defaults fit for push providers."""

from collections.abc import Callable
from dataclasses import dataclass
from ssl import SSLContext

ANSWER_FIELDS = (b"apns-id", b"apns-unique-id", b"apns-channel-id", b"apns-request-id", b"retry-after", b"location")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that tunnels by CONNECT; with a user, by Basic authentication."""

    host: str
    port: int
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect. `server_name` is the certificate's name when it is not `host`.

    `allow_address` judges each resolved IP address at every connect; behind a proxy, which resolves by itself, it is
    never asked, so an untrusted `host` must not be combined with a proxy.
    """

    host: str
    port: int
    tls: SSLContext
    server_name: str = ""
    proxy: Proxy | None = None
    allow_address: Callable[[str], bool] | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Times and limits of one connection.

    `ping_interval_ms` of silence calls for a PING when nothing is in flight, `stall_ms` when something is; the answer
    must come within `ping_timeout_ms`. A connection is retired at `max_age_ms`, less up to `age_jitter_percent` of it,
    and when it has allowed no stream for `starved_ms`. A retired one may take `drain_timeout_ms` for what is in flight.
    `cautious` keeps to one stream until a first 2xx. `wanted` names the answer fields that are kept.

    Source: https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
    """

    request_timeout_ms: int = 15_000
    handshake_timeout_ms: int = 10_000
    ping_interval_ms: int = 15 * 60_000
    stall_ms: int = 5_000
    ping_timeout_ms: int = 10_000
    max_age_ms: int = 24 * 3_600_000
    age_jitter_percent: int = 25
    starved_ms: int = 10_000
    drain_timeout_ms: int = 30_000
    max_streams: int = 4096
    cautious: bool = False
    first_stream_id: int = 1
    wanted: tuple[bytes, ...] = ANSWER_FIELDS


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How many connections, and how they come back.

    At most `connecting_at_once` connects run at a time. After the n-th failure in a row a slot waits a random time up
    to `backoff_base_ms` * 2**n, at most `backoff_cap_ms`; a connection that did not live `stable_ms` is a failure too.
    """

    connections: int = 2
    connecting_at_once: int = 2
    backoff_base_ms: int = 100
    backoff_cap_ms: int = 30_000
    stable_ms: int = 5_000
