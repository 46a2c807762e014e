"""Amounts of money written digit by digit, in formats that Babel was asked for once."""

from collections.abc import Callable

class AmountFormat:
    """Writes amounts of one currency in one locale.

    affixes: before and after a positive amount, before and after a negative one. grouping: digits of the last group, and of
    those before it. short: leaves out a fraction of zeros. Raises ValueError for an affix of more than 24 characters.
    """

    def __init__(
        self,
        affixes: tuple[str, str, str, str],
        point: str,
        separator: str,
        grouping: tuple[int, int],
        digits: int,
        short: bool,
    ) -> None: ...
    def text(self, minor_units: int) -> str:
        """Write an amount. Raises OverflowError beyond 64 bits."""

class AmountWriter:
    """Writes amounts in one locale, whatever their currency. format_of: the format of a currency, asked for once."""

    def __init__(self, format_of: Callable[[str], AmountFormat]) -> None: ...
    def __call__(self, money: object) -> str:
        """Write an amount (core.values.Money)."""
