"""The one rule of what a locked screen may show.

FULL shows everything. MASKED shows the text, but wherever a value marked sensitive would stand, or anything made from
one, stands `•••`, unless the template masked it by a mask filter, which then hides more. HIDDEN shows that there is
something, not what: the body becomes a general sentence, and title, subtitle, buttons and media are left out. It holds
for what the system shows by itself (push and web push): texts, e-mails and the app's own inbox are read after
unlocking. Conditions still see true values: a text that is chosen by a sensitive value tells of it, which is the
author's choice.
"""

from __future__ import annotations

from enum import IntEnum

from core.policy.people import Channel

_LOCKED_SCREEN = frozenset({Channel.PUSH, Channel.WEB_PUSH})
_GENERAL = {
    "ar": "لديك إشعار جديد",
    "de": "Sie haben eine neue Mitteilung",
    "en": "You have a new notification",
    "es": "Tiene una notificación nueva",
    "fr": "Vous avez une nouvelle notification",
    "ja": "新しいお知らせがあります",
    "ko": "새 알림이 있습니다",
    "pt": "Você tem uma nova notificação",
    "ru": "У вас новое уведомление",
    "zh": "您有一条新通知",
    "zh-Hant": "您有一則新通知",
}


class Privacy(IntEnum):
    """How much a locked screen may show; MASKED and FULL have the numbers of LockScreenDetail."""

    MASKED = 1
    FULL = 2
    HIDDEN = 3


def privacy_of(detail: int, default: Privacy) -> Privacy:
    """Return a user's wish, or the app's default where the user said nothing (0)."""
    return Privacy(detail) if detail else default


def applied(privacy: Privacy, channel: Channel) -> Privacy:
    """Return what holds on a channel."""
    return privacy if channel in _LOCKED_SCREEN else Privacy.FULL


def general_text(language: str, script: str = "") -> str:
    """Return the sentence that tells of a notification without its content; English where none is known."""
    return _GENERAL.get(f"{language}-{script}") or _GENERAL.get(language) or _GENERAL["en"]
