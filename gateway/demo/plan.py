"""What the demonstration does, and when."""

from __future__ import annotations

from dataclasses import dataclass

APP = "wallet"
CAMPAIGN = "spring-cashback"
PASS_TYPE = "pass.com.example.card"  # noqa: S105  # an identifier
USERS = 2_000
DEAD_SHARE = 0.05
DEVICES_PER_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Plan:
    """seconds: how long the load lasts; the moments below are shares of it. campaign_size: devices."""

    seconds: float = 24.0
    campaign_size: int = 100_000
    workers: int = 1
    payments_per_s: float = 250.0
    alerts_per_s: float = 15.0
    services_per_s: float = 10.0
    passes_per_s: float = 10.0
    repeated_share: float = 0.04
    campaign_at: float = 0.12
    campaign_share: float = 0.15
    throttled_at: float = 0.40
    throttled_share: float = 0.10
    outage_at: float = 0.60
    outage_share: float = 0.17
    seed: int = 7

    @property
    def campaign_s(self) -> float:
        """When the campaign starts."""
        return self.seconds * self.campaign_at

    @property
    def throttled_s(self) -> tuple[float, float]:
        """When APNs answers some requests 429: from, to."""
        start_s = self.seconds * self.throttled_at
        return start_s, start_s + self.seconds * self.throttled_share

    @property
    def outage_s(self) -> tuple[float, float]:
        """When APNs answers everything 503: from, to; 4 s at most."""
        start_s = self.seconds * self.outage_at
        return start_s, start_s + min(4.0, self.seconds * self.outage_share)
