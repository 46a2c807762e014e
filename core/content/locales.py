"""Which of a template's locales a reader gets: zh-CN, then zh, then the template's default.

Scripts are made explicit by CLDR's likely subtags first, so that zh-Hans-CN, zh-CN and zh_CN are one locale, and a
reader of zh-Hant is never given zh, which is simplified. Parents are CLDR's:
https://unicode.org/reports/tr35/#Locale_Inheritance
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from babel import Locale, UnknownLocaleError, localedata
from babel.core import get_global, parse_locale

_MAX_TAG_LENGTH = 64
_RTL_SCRIPTS = frozenset({"Arab", "Hebr", "Syrc", "Thaa", "Nkoo", "Adlm", "Rohg"})


class Tag(NamedTuple):
    """A locale with its script made explicit. territory: "" where the tag named none."""

    language: str
    script: str
    territory: str = ""

    @property
    def right_to_left(self) -> bool:
        """Whether its text runs from right to left."""
        return self.script in _RTL_SCRIPTS

    def __str__(self) -> str:
        shown = "" if self.script == _likely(self.language, "", self.territory)[0] else self.script
        return "-".join(part for part in (self.language, shown, self.territory) if part)


@lru_cache(maxsize=4_096)
def parse_tag(text: str) -> Tag | None:
    """Read a BCP 47 tag (or the same with underscores); None if it is none or CLDR does not know the language."""
    if not text or len(text) > _MAX_TAG_LENGTH or not text.isascii():
        return None
    try:
        language, territory, script = parse_locale(text.replace("-", "_"))[:3]
    except ValueError:
        return None
    language = get_global("language_aliases").get(language, language)
    if not localedata.exists(language):
        return None
    return Tag(language, script or _likely(language, "", territory or "")[0], territory or "")


@lru_cache(maxsize=4_096)
def fallbacks(tag: Tag) -> tuple[Tag, ...]:
    """Return the tag, its parents in CLDR's order, its language, and last the language's likeliest territory."""
    chain = [tag]
    while (parent := _parent(chain[-1])) is not None and parent not in chain:
        chain.append(parent)
    likely = Tag(tag.language, tag.script, _likely(tag.language, tag.script, "")[1])
    return (*chain, *([likely] if likely not in chain else []))


@lru_cache(maxsize=1_024)
def babel_locale(tag: Tag) -> Locale:
    """Return the locale of the nearest tag that Babel has data for."""
    for language, script, territory in fallbacks(tag):
        for parts in ((language, script, territory), (language, territory), (language, script)):
            try:
                return Locale.parse("_".join(part for part in parts if part))
            except (UnknownLocaleError, ValueError):
                continue
    return Locale(tag.language)


def format_tag(reader: Tag | None, body: Tag) -> Tag:
    """Return the locale of amounts and dates: the reader's own where the text is in that language, else the text's."""
    same = reader is not None and reader[:2] == body[:2]
    return reader if same and reader is not None else body


def _parent(tag: Tag) -> Tag | None:
    exceptions = get_global("parent_exceptions")
    language, script, territory = tag
    for parts in ((language, script, territory), (language, territory), (language,)):
        parent = exceptions.get("_".join(part for part in parts if part))
        if parent and (len(parts) > 1 or not territory):
            return parse_tag(parent)
    return Tag(language, script) if territory else None


def _likely(language: str, script: str, territory: str) -> tuple[str, str]:
    """Return the script and the territory that CLDR finds likely; "" where it knows none."""
    known = get_global("likely_subtags")
    for parts in ((language, script, territory), (language, territory), (language, script), (language,)):
        full = known.get("_".join(part for part in parts if part))
        if full:
            return full.split("_")[1], full.split("_")[2]
    return "", ""
