"""What was sent, what the gateway answered, and how the deliveries ended: the caller's side of the account."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Literal

from gateway.client import Accepted, DeliveryState, DeviceToken, Receipt, WalletpushError

Kind = Literal["security", "payment", "service", "pass", "campaign"]
KINDS: tuple[Kind, ...] = ("security", "payment", "service", "pass", "campaign")


@dataclass(slots=True)
class Sent:
    """One notification. must_reach: its devices that are alive."""

    kind: Kind
    key: str
    must_reach: tuple[DeviceToken, ...]
    sent_unix_s: float = field(default_factory=time.time)
    id: str = ""
    answers: list[Accepted] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    delivered: int = 0

    @property
    def is_settled(self) -> bool:
        """Tell whether it has a receipt and as many good ones as it has live devices."""
        return bool(self.receipts) and self.delivered >= len(self.must_reach)


def latency_ms(sent: Sent, receipt: Receipt) -> float:
    """Return the time from `send` to the provider's answer; both clocks are this host's."""
    return max(0.0, receipt.time.seconds * 1e3 + receipt.time.nanos / 1e6 - sent.sent_unix_s * 1e3)


class Book:
    """Entries by idempotency key and, once accepted, by notification id; receipts may come before the answer."""

    def __init__(self) -> None:
        self.entries: list[Sent] = []
        self.by_id: dict[str, Sent] = {}
        self.accepted: Counter[Kind] = Counter()
        self.delivered: Counter[Kind] = Counter()
        self.ended: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.repeats = 0
        self.duplicates_answered = 0
        self.repeats_taken_anew = 0
        self._early: dict[str, list[Receipt]] = {}
        # (monotonic s, ms) of the newest, for the view.
        self.payment_ms: deque[tuple[float, float]] = deque(maxlen=2_000)

    @property
    def receipts(self) -> int:
        """How many deliveries have ended."""
        return self.ended.total()

    @property
    def is_settled(self) -> bool:
        """Tell whether everything accepted is settled."""
        return all(one.is_settled for one in self.by_id.values())

    def add(self, sent: Sent) -> None:
        """Note what is about to be sent."""
        self.entries.append(sent)

    def on_accepted(self, sent: Sent, answer: Accepted) -> None:
        """Note the gateway's answer."""
        sent.id = answer.id
        self._answered(sent, answer)
        self.by_id[answer.id] = sent
        self.accepted[sent.kind] += 1
        for receipt in self._early.pop(answer.id, ()):
            self._attach(sent, receipt)

    def on_repeat(self, sent: Sent, answer: Accepted) -> None:
        """Note the answer to the same notification sent again."""
        self.repeats += 1
        self._answered(sent, answer)

    def on_error(self, error: WalletpushError) -> None:
        """Note that a notification was not taken."""
        self.errors[f"{type(error).__name__}: {error}"] += 1

    def on_receipt(self, receipt: Receipt) -> None:
        """Note how one delivery ended."""
        sent = self.by_id.get(receipt.notification_id)
        if sent is None:
            self._early.setdefault(receipt.notification_id, []).append(receipt)
        else:
            self._attach(sent, receipt)

    def _answered(self, sent: Sent, answer: Accepted) -> None:
        # Two calls may overtake each other: one of them is the first, whichever answer comes first here.
        if sent.answers:
            first = sent.answers[0]
            self.repeats_taken_anew += answer.id != first.id
            self.duplicates_answered += answer.id == first.id and (answer.duplicate or first.duplicate)
        sent.answers.append(answer)

    def _attach(self, sent: Sent, receipt: Receipt) -> None:
        sent.receipts.append(receipt)
        if receipt.state == DeliveryState.DELIVERY_STATE_DELIVERED:
            sent.delivered += 1
            self.delivered[sent.kind] += 1
            if sent.kind == "payment":
                self.payment_ms.append((time.monotonic(), latency_ms(sent, receipt)))
            self.ended["delivered"] += 1
        else:
            self.ended[receipt.reason or "other"] += 1
