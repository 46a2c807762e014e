"""How many text messages an SMS takes: GSM 7-bit where its alphabet has every character, else UCS-2.

Source: 3GPP TS 23.038 (alphabets) and TS 23.040 (a concatenated part gives 6 bytes to its header).
"""

from __future__ import annotations

from typing import NamedTuple

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")
_GSM = _BASIC | _EXTENDED


class SmsCount(NamedTuple):
    """units: septets (GSM-7) or 16-bit units (UCS-2). per_segment: units that each part of this message holds."""

    encoding: str
    units: int
    segments: int
    per_segment: int


def count_sms(text: str) -> SmsCount:
    """Count a message's parts; no escape sequence and no surrogate pair is spread over two of them."""
    if _GSM.issuperset(text):
        return _count("GSM-7", [2 if char in _EXTENDED else 1 for char in text], 160, 153)
    return _count("UCS-2", [2 if ord(char) > 0xFFFF else 1 for char in text], 70, 67)


def _count(encoding: str, widths: list[int], alone: int, part: int) -> SmsCount:
    units = sum(widths)
    if units <= alone:
        return SmsCount(encoding, units, 1 if units else 0, alone)
    segments, used = 1, 0
    for width in widths:
        if used + width > part:
            segments, used = segments + 1, 0
        used += width
    return SmsCount(encoding, units, segments, part)
