"""How often one address and one link may ask for pages, in memory of a fixed size."""

from __future__ import annotations

import ipaddress
import secrets
from array import array
from typing import Final

from core.hashing import SipHash
from core.token_buckets import Rate, TokenBuckets

CAPACITY: Final = 65_536
# Mail providers unsubscribe for many users from few addresses; a link is one person's, and their scanners'.
PER_ADDRESS: Final = Rate(50, 500)
PER_LINK: Final = Rate(1, 30)
_ADDRESS, _LINK = 1, 2


class PageLimits:
    """Two token buckets for each request: its address's and its link's."""

    def __init__(self, per_address: Rate = PER_ADDRESS, per_link: Rate = PER_LINK) -> None:
        memory = bytearray(TokenBuckets.required_bytes(CAPACITY))
        TokenBuckets.create(memory, CAPACITY)
        self._buckets = TokenBuckets(memory, [per_address, per_link])
        self._hash = SipHash(secrets.token_bytes(16))

    def wait_s(self, address: str, token: str, now_ns: int) -> int:
        """Take one token of each bucket; return 0, or after how many seconds to ask again. now_ns: monotonic."""
        keys = array("Q", [self._hash.hash64(f"a{_network(address)}"), self._hash.hash64(f"l{token}"), 0, 0])
        granted, retry_at_ns = bytearray(1), array("q", [0])
        if self._buckets.acquire_many(keys, array("H", [_ADDRESS, _LINK, 0, 0]), now_ns, granted, retry_at_ns):
            return 0
        return max(1, -(-(retry_at_ns[0] - now_ns) // 1_000_000_000))


def _network(address: str) -> str:
    """Return what one subscriber has: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
