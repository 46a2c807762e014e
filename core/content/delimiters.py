"""Checks where a text's tags begin and end before the Liquid parser sees it.

The parser's regular expressions take quadratic time over tags that are never closed, so that 16 KiB of `{{` would
hold a process for seconds; here one pass finds them, with their lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

TAGS = frozenset({
    "if", "elsif", "else", "endif", "unless", "endunless", "case", "when", "endcase", "for", "endfor", "break",
    "continue", "assign", "comment", "endcomment", "raw", "#",
})  # fmt: skip
MAX_TAGS = 500
MAX_TAG_LENGTH = 512
_MAX_BRACKETS = 4
_OPEN = re.compile(r"\{\{|\{%")
_NAME = re.compile(r"-?\s*(#|\w*)")
_END_RAW = re.compile(r"\{%-?\s*endraw\s*-?%\}")
_CONTROL = re.compile(r"(?![\n\r\t])[\x00-\x1f\x7f]")
_CLOSE = {"{{": "}}", "{%": "%}"}


def has_tags(source: str) -> bool:
    """Tell whether a text is more than itself."""
    return _OPEN.search(source) is not None


def count_tags(source: str) -> int:
    """Count where tags begin."""
    return source.count("{{") + source.count("{%")


def faults_of(source: str) -> Iterator[tuple[str, int]]:
    """Give what is wrong with a text's tags, each with its line, in order."""
    control = _CONTROL.search(source)
    if control:
        yield f"has the control character {control.group()!r}", line_of(source, control.start())
    at = count = 0
    while (opened := _OPEN.search(source, at)) is not None:
        count += 1
        line = line_of(source, opened.start())
        close = _CLOSE[opened.group()]
        end = source.find(close, opened.end())
        if end < 0:
            yield f"{opened.group()} is never closed by {close}", line
            return
        inner = source[opened.end() : end]
        at = end + len(close)
        yield from ((why, line) for why in _tag_faults(opened.group(), inner))
        if opened.group() == "{%" and _name(inner) == "raw":
            raw_end = _END_RAW.search(source, at)
            if raw_end is None:
                yield "raw is never closed by endraw", line
                return
            at = raw_end.end()
        if count > MAX_TAGS:
            yield f"has more than {MAX_TAGS} tags", line
            return


def line_of(source: str, index: int) -> int:
    """Return the line of a place, from 1."""
    return source.count("\n", 0, index) + 1


def _tag_faults(opening: str, inner: str) -> Iterator[str]:
    if len(inner) > MAX_TAG_LENGTH:
        yield f"a tag is longer than {MAX_TAG_LENGTH} characters"
    if _OPEN.search(inner):
        yield "a tag begins inside another"
    if inner.count("[") > _MAX_BRACKETS or inner.count("(") > _MAX_BRACKETS:
        yield "a tag has too many brackets"
    if opening == "{{":
        if not inner.strip("- \n\t"):
            yield "{{ }} says nothing"
        return
    name = _name(inner)
    if not name:
        yield "a tag has no name"
    elif name not in TAGS:
        yield f"the tag {name[:32]!r} is not allowed"


def _name(inner: str) -> str:
    found = _NAME.match(inner)
    return found[1] if found else ""
