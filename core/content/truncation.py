"""Cuts text to a number of characters or bytes without ever splitting what a reader sees as one character.

Source: https://unicode.org/reports/tr29/#Grapheme_Cluster_Boundaries, by the `regex` package's \\X.
"""

from __future__ import annotations

import regex

ELLIPSIS = "…"
_CLUSTER = regex.compile(r"\X")


def character_count(text: str) -> int:
    """Return how many characters a reader sees (grapheme clusters)."""
    # \r\n is the only cluster of ASCII that has two code points.
    if text.isascii() and "\r" not in text:
        return len(text)
    return sum(1 for _ in _CLUSTER.finditer(text))


def truncate(text: str, max_characters: int, ellipsis: str = ELLIPSIS) -> str:
    """Return text of at most max_characters grapheme clusters, ellipsis included where something was cut.

    An ellipsis that does not fit is left out.
    """
    if len(text) <= max_characters:
        return text
    kept = max_characters - character_count(ellipsis)
    if kept < 0:
        kept, ellipsis = max(max_characters, 0), ""
    end = 0
    for number, cluster in enumerate(_CLUSTER.finditer(text), 1):
        if number <= kept:
            end = cluster.end()
        if number > max_characters:
            return text[:end].rstrip() + ellipsis
    return text


def truncate_bytes(text: str, max_bytes: int, ellipsis: str = ELLIPSIS) -> str:
    """Return text of at most max_bytes of UTF-8, ellipsis included where something was cut."""
    if byte_count(text) <= max_bytes:
        return text
    room = max_bytes - byte_count(ellipsis)
    if room < 0:
        room, ellipsis = max(max_bytes, 0), ""
    end = 0
    for cluster in _CLUSTER.finditer(text):
        room -= byte_count(cluster.group())
        if room < 0:
            break
        end = cluster.end()
    return text[:end].rstrip() + ellipsis


def byte_count(text: str) -> int:
    """Return the bytes of UTF-8; lone surrogates, which no caller can send, count three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
