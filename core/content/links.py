"""Which URLs a notification may lead to or load: https, and for deep links the schemes that an app calls its own."""

from __future__ import annotations

import re
from typing import NamedTuple

from core.content.limits import MAX_LINK_BYTES

# What runs code, reads the device or goes unencrypted, whatever an app says.
_NEVER = frozenset({
    "about", "blob", "content", "data", "file", "filesystem", "ftp", "http", "intent", "javascript", "vbscript",
    "view-source", "ws",
})  # fmt: skip
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,31}")
# RFC 3986's characters; no user information before the host, which only serves to deceive.
_HTTPS = re.compile(r"https://[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[0-9]{1,5})?(?:[/?#]|$)", re.IGNORECASE)
_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*")
_RESERVED = re.compile(rb"[^A-Za-z0-9\-._~]")
HTTPS = "https"


class LinkPolicy(NamedTuple):
    """What an app allows. schemes: its own for deep links, lower case, beside https."""

    schemes: frozenset[str] = frozenset()


HTTPS_ONLY = LinkPolicy()


def policy_fault(policy: LinkPolicy) -> str:
    """Say what is wrong with an app's schemes; "" if nothing is."""
    for scheme in sorted(policy.schemes):
        if not _SCHEME.fullmatch(scheme) or scheme in _NEVER:
            return f"{scheme[:32]!r} cannot be a scheme of deep links"
    return ""


def link_fault(url: str, policy: LinkPolicy = HTTPS_ONLY) -> str:
    """Say what is wrong with a complete URL; "" if nothing is."""
    if len(url) > MAX_LINK_BYTES:
        return f"is longer than {MAX_LINK_BYTES} bytes"
    if not _CHARACTERS.fullmatch(url):
        return "has a character that a URL must encode"
    return prefix_fault(url, policy, complete=True)


def prefix_fault(start: str, policy: LinkPolicy, *, complete: bool) -> str:
    """Say what is wrong with how a URL starts: its scheme, and for https its host; "" if nothing is.

    complete: nothing follows. Without it the host must be ended, so that no value can change where a link leads.
    """
    scheme, colon, _ = start.partition(":")
    scheme = scheme.lower()
    if not colon or not _SCHEME.fullmatch(scheme):
        return "must begin with its scheme"
    if scheme in _NEVER or (scheme != HTTPS and scheme not in policy.schemes):
        return f"has the scheme {scheme}, which is not allowed"
    if scheme != HTTPS:
        return ""
    found = _HTTPS.match(start)
    if not found:
        return "has no host, or more than a host before its path"
    return "" if complete or found.group()[-1] in "/?#" else "must name its whole host before a value follows"


def encode(text: str) -> str:
    """Percent-encode all that has a meaning in a URL."""
    if text.isascii() and text.isalnum():
        return text
    return _RESERVED.sub(lambda byte: b"%%%02X" % byte.group()[0], text.encode("utf-8", "replace")).decode("ascii")
