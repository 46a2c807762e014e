"""Which other gateways the bench can run beside walletpush."""

from __future__ import annotations

from bench.peers.go_apns2 import GoApns2
from bench.peers.gorush import Gorush
from bench.peers.node_apn import NodeApn
from bench.peers.peer import Peer
from bench.peers.sygnal import Sygnal

PEERS: tuple[Peer, ...] = (Gorush(), Sygnal(), NodeApn(), GoApns2())


class UnknownPeer(ValueError):
    """No peer has this name."""


def find(name: str) -> Peer:
    """Return a peer, installed or not. Raises UnknownPeer."""
    for peer in PEERS:
        if peer.name == name:
            return peer
    raise UnknownPeer(f"no peer {name!r}; there are {', '.join(peer.name for peer in PEERS)}")
