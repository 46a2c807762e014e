"""Compares the caller's book with the providers' ledgers: what was lost, what came twice, how long it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.client import DeliveryState, Receipt
from gateway.demo.book import Book, Sent, latency_ms
from gateway.demo.ledgers import Ledgers
from protos.walletpush.v1.notification_pb2 import PROVIDER_APNS


@dataclass(frozen=True, slots=True)
class Latency:
    """From `send` to the provider's answer, ms; n notifications."""

    n: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Account:
    """The result. lost: accepted notifications without all their receipts, or missing in a ledger for a live device.

    sent_twice: messages a provider accepted again, sends that no receipt tells of, and repeats taken as new.
    deliveries_per_s: over the whole run, in the campaign, and in the best second.
    """

    accepted: int
    not_taken: dict[str, int]
    deliveries: int
    delivered: int
    ended_otherwise: dict[str, int]
    repeats: int
    duplicates_answered: int
    dead_addressed: int
    dead_removed: int
    removed_by_mistake: int
    lost: int
    sent_twice: int
    deliveries_per_s: float
    campaign_per_s: float
    best_per_s: int
    payments_calm: Latency
    payments_all: Latency
    alerts_all: Latency

    @property
    def good(self) -> bool:
        """Tell whether the gateway took everything and kept its promises."""
        kept = not (self.lost or self.sent_twice or self.removed_by_mistake or self.not_taken)
        return kept and self.accepted > 0 and self.dead_removed == self.dead_addressed


@dataclass(frozen=True, slots=True)
class Devices:
    """addressed: dead tokens that were sent to. listed: what the registry still has. live: what it must have."""

    dead_addressed: frozenset[str]
    live: frozenset[str]
    listed: frozenset[str]


def reckon(book: Book, ledgers: Ledgers, devices: Devices, troubled: Sequence[tuple[float, float]]) -> Account:
    """Draw up the account. troubled: times, unix s, in which a provider was not well."""
    ended_otherwise = {reason: n for reason, n in book.ended.items() if reason != "delivered"}
    accepted = list(book.by_id.values())
    payments = [one for one in accepted if one.kind == "payment"]
    return Account(
        accepted=len(accepted),
        not_taken=dict(book.errors),
        deliveries=book.receipts,
        delivered=book.ended["delivered"],
        ended_otherwise=ended_otherwise,
        repeats=book.repeats,
        duplicates_answered=book.duplicates_answered,
        dead_addressed=len(devices.dead_addressed),
        dead_removed=len(devices.dead_addressed - devices.listed),
        removed_by_mistake=len(devices.live - devices.listed),
        lost=sum(is_lost(one, ledgers) for one in accepted),
        sent_twice=ledgers.twice + book.repeats_taken_anew + len(_unexplained(accepted, ledgers)),
        deliveries_per_s=_per_s(accepted),
        campaign_per_s=_per_s([one for one in accepted if one.kind == "campaign"]),
        best_per_s=_best_second(accepted),
        payments_calm=_latency(one for one in payments if not _is_troubled(one, troubled)),
        payments_all=_latency(payments),
        alerts_all=_latency(one for one in accepted if one.kind == "security"),
    )


def is_lost(sent: Sent, ledgers: Ledgers) -> bool:
    """Tell whether an accepted notification misses a receipt, or a live device in its provider's ledger."""
    if not sent.is_settled:
        return True
    ours = (ledgers.apns.get(one.provider_message_id, "") for one in _delivered(sent.receipts))
    reached = {token for token in ours if token}
    for device in sent.must_reach:
        if device.provider == PROVIDER_APNS:
            if device.token not in reached:
                return True
        elif f"{sent.key}/{device.token}" not in ledgers.fcm:
            return True
    return False


def _delivered(receipts: Iterable[Receipt]) -> list[Receipt]:
    return [one for one in receipts if one.state == DeliveryState.DELIVERY_STATE_DELIVERED]


def _unexplained(accepted: Iterable[Sent], ledgers: Ledgers) -> set[str]:
    told = {one.provider_message_id for sent in accepted for one in _delivered(sent.receipts)}
    return ledgers.apns.keys() - told


def _is_troubled(sent: Sent, troubled: Sequence[tuple[float, float]]) -> bool:
    return any(start_s <= sent.sent_unix_s <= end_s for start_s, end_s in troubled)


def _times_ms(sent: Sent) -> list[int]:
    return [one.time.ToMilliseconds() for one in _delivered(sent.receipts)]


def _latency(sent: Iterable[Sent]) -> Latency:
    found = sorted(latency_ms(one, receipt) for one in sent for receipt in _delivered(one.receipts))
    if not found:
        return Latency(0, 0.0, 0.0)
    return Latency(len(found), found[len(found) // 2], found[min(len(found) - 1, len(found) * 99 // 100)])


def _per_s(sent: Sequence[Sent]) -> float:
    ends = [at_ms for one in sent for at_ms in _times_ms(one)]
    if not ends:
        return 0.0
    seconds = max(ends) / 1_000 - min(one.sent_unix_s for one in sent)
    return len(ends) / max(seconds, 0.001)


def _best_second(sent: Iterable[Sent]) -> int:
    return max(Counter(at_ms // 1_000 for one in sent for at_ms in _times_ms(one)).values(), default=0)
