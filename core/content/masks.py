"""Texts with what is private hidden: cards, balances, telephone numbers, names."""

from __future__ import annotations

import regex

HIDDEN = "•••"
_DOT = "•"
_DIGIT = regex.compile(r"\d")
_FIRST_CLUSTER = regex.compile(r"\X")
_CARD_DIGITS_SHOWN = 4
_LONG_NUMBER = 11


def mask_card(text: str, *, locked: bool) -> str:
    """Show the last four digits of a card, and none on a locked screen; the whole number is never shown.

    Source: PCI DSS 3.4.1, the last four digits are what a receipt may show.
    """
    digits = _DIGIT.findall(text)
    if locked or len(digits) < _CARD_DIGITS_SHOWN:
        return "••••"
    return "•••• " + "".join(digits[-_CARD_DIGITS_SHOWN:])


def mask_phone(text: str, *, locked: bool) -> str:
    """Show the last four digits of a long number or the last two of a short one; on a locked screen two."""
    count = len(_DIGIT.findall(text))
    shown = 2 if locked or count < _LONG_NUMBER else 4
    hidden = max(count - shown, 0) if count > shown else count
    return _DIGIT.sub(_DOT, text, count=hidden) if hidden else text


def mask_name(text: str, *, locked: bool) -> str:
    """Show a name; on a locked screen its first character only."""
    if not locked:
        return text
    first = _FIRST_CLUSTER.match(text.strip())
    return first.group() + HIDDEN if first else HIDDEN
