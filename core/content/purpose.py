"""What a notification says of itself beside class and content: its category, tags and template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from core.content.templates import Raw

_NOTHING: Mapping[str, Raw] = {}


class Purpose(NamedTuple):
    """category: "" for the app's first of the class. template_version: 0 without a template.

    tags: the notification's own; its template's come beside them. variables: checked when it was accepted.
    """

    category: str = ""
    tags: tuple[str, ...] = ()
    template_id: str = ""
    template_version: int = 0
    variables: Mapping[str, Raw] = _NOTHING
