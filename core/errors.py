"""The error tree: refusals are the caller's fault, failures are ours or the network's.

PushError
+-- Refusal                 the request cannot be taken as it is
|   +-- InvalidRequest      a field is wrong
|   +-- IdempotencyConflict the same key with another body
|   +-- UnknownNotification no notification has this id
|   +-- UnknownUser         no user has this id
|   +-- UnknownTemplate     no template has this id and version
|   +-- UnknownErasure      nobody of this id was erased
|   +-- ContentRefused      a provider would not take this content
+-- Failure                 nothing wrong with the request
    +-- Overloaded          a bounded resource is full; retry later
    +-- Unavailable         draining, or a store cannot be written
    +-- CredentialFailure   a provider credential cannot be made or fetched
    +-- StoreFailure        a store holds something it must not
"""

from __future__ import annotations


class PushError(Exception):
    """Something walletpush raises on purpose."""


class Refusal(PushError):
    """The request cannot be taken as it is."""


class Failure(PushError):
    """Nothing is wrong with the request."""


class InvalidRequest(Refusal):
    """Field `field` is wrong for the reason `why`, which a caller may be shown."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class IdempotencyConflict(Refusal):
    """The idempotency key was used within its window for another body."""

    def __init__(self, notification_id: str) -> None:
        super().__init__(f"idempotency_key was already used with another body, for notification {notification_id}")
        self.notification_id = notification_id


class UnknownNotification(Refusal):
    """No notification has this id, or its receipts are past retention."""


class UnknownUser(Refusal):
    """No user of the app has this id."""


class UnknownTemplate(Refusal):
    """No template of the app has this id, or not this version."""


class UnknownErasure(Refusal):
    """No user of the app with this id was erased, or the proof is past retention."""


class ContentRefused(Refusal):
    """A provider would not take this content; `reason` is the provider's own word for it (PayloadTooLarge)."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(f"{reason}: {why}")
        self.reason = reason
        self.why = why


class Overloaded(Failure):
    """A bounded resource is full; try again after `retry_after_ms`."""

    def __init__(self, resource: str, retry_after_ms: int) -> None:
        super().__init__(f"{resource} is full, retry after {retry_after_ms} ms")
        self.resource = resource
        self.retry_after_ms = retry_after_ms


class Unavailable(Failure):
    """The gateway is draining, or a store cannot be written."""


class CredentialFailure(Failure):
    """A provider credential cannot be made or fetched."""


class StoreFailure(Failure):
    """A store holds something it must not: another version, another key, damage."""
