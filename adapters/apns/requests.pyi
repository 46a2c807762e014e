from collections.abc import Callable, Sequence

from adapters.apns.provider_token import ProviderToken
from adapters.http2.exchange import Exchange
from core.delivery import Delivery
from core.reaction import Outcome

class Requests:
    def __init__(self, deliveries: Sequence[Delivery], count: int, token: ProviderToken | None) -> None: ...
    @property
    def exchanges(self) -> list[Exchange]: ...
    @property
    def malformed(self) -> list[Delivery]: ...

def read_answers(
    exchanges: list[Exchange], delivered: Outcome, outcome_of: Callable[[Exchange, Delivery], Outcome]
) -> tuple[list[Delivery], list[Outcome], Exchange | None]: ...
