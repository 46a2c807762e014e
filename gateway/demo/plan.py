"""What the demonstration does, and when."""

from __future__ import annotations

from dataclasses import dataclass

APP = "wallet"
CAMPAIGN = "new-terms"
PASS_TYPE = "pass.com.example.card"  # noqa: S105  # an identifier
USERS = 2_000
DEAD_SHARE = 0.05
DEVICES_PER_MESSAGE = 500
# From, to.
Window = tuple[float, float]


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
    throttled_at: float = 0.34
    throttled_share: float = 0.10
    apns_outage_at: float = 0.50
    apns_outage_share: float = 0.17
    fcm_outage_at: float = 0.78
    fcm_outage_share: float = 0.12
    seed: int = 7

    @property
    def campaign_s(self) -> float:
        """When the campaign starts."""
        return self.seconds * self.campaign_at

    @property
    def throttled_s(self) -> Window:
        """When APNs answers some requests 429."""
        return self._window(self.throttled_at, self.throttled_share)

    @property
    def apns_outage_s(self) -> Window:
        """When APNs answers everything 503; 4 s at most."""
        return self._window(self.apns_outage_at, self.apns_outage_share)

    @property
    def fcm_outage_s(self) -> Window:
        """When FCM answers everything 503; 4 s at most."""
        return self._window(self.fcm_outage_at, self.fcm_outage_share)

    def _window(self, at: float, share: float) -> Window:
        start_s = self.seconds * at
        return start_s, start_s + min(4.0, self.seconds * share)
