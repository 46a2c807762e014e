"""Configured rates -> the numbered rules of the token buckets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from core.token_buckets import Rate

Scope = Literal["provider", "app", "tenant", "campaign"]
NO_LIMIT = 0


class RuleBook:
    """Numbers every distinct rate; rule 0 stands for no limit.

    general: the rate of each scope. named: rates of single names within a scope, which replace the general one.
    earlier: rates whose numbers must stay, since deliveries that wait were given them.
    """

    def __init__(
        self, general: Mapping[Scope, Rate], named: Mapping[tuple[Scope, str], Rate], earlier: Sequence[Rate] = ()
    ) -> None:
        distinct = list(dict.fromkeys([*earlier, *general.values(), *named.values()]))
        self.rates = tuple(distinct)
        numbers = {rate: number for number, rate in enumerate(distinct, 1)}
        self._general = {scope: numbers[rate] for scope, rate in general.items()}
        self._named = {name: numbers[rate] for name, rate in named.items()}

    def rule_of(self, scope: Scope, name: str) -> int:
        """Return the rule for a name within a scope."""
        return self._named.get((scope, name), self._general.get(scope, NO_LIMIT))
