"""What providers, screens and templates allow: sizes, counts, and the data keys that are the providers' own."""

from __future__ import annotations

from typing import NamedTuple

# https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification
APNS_MAX_BYTES = 4_096
APNS_VOIP_MAX_BYTES = 5_120
# https://firebase.google.com/docs/cloud-messaging/customize-messages/set-message-type
FCM_MAX_BYTES = 4_096
# https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#AndroidConfig
FCM_MAX_TTL_S = 2_419_200
# A data key of this name would take the place of Apple's own dictionary.
RESERVED_FOR_APNS = "aps"

MAX_SOURCE_BYTES = 16_384
MAX_OUTPUT_BYTES = 16_384
MAX_BODIES = 200
# Of all texts together: a tag costs the compiler some 0.1 ms.
MAX_ALL_TAGS = 10_000
MAX_VARIABLES = 64
MAX_TAGS = 16
MAX_BUTTONS = 4
MAX_LABEL_BYTES = 64
MAX_LINK_BYTES = 2_048

MAX_TEXT_BYTES = 1_024
MAX_LIST_ITEMS = 50
MAX_INTEGER = 2**63 - 1
# What is left of 4,096 bytes for the text, beside links, data and the provider's own keys.
PUSH_TITLE_MAX_BYTES = 256
PUSH_BODY_MAX_BYTES = 2_048


class Visible(NamedTuple):
    """About how many characters (grapheme clusters) a screen shows before it cuts."""

    platform: str
    title: int
    body: int


# Neither Apple nor Google promises figures, fonts and screens differ: these are what marketing tools tell authors, for
# instance https://doc.batch.com/guides-and-best-practices/message/push-notifications/page-4
IOS = Visible("iOS", 50, 178)
ANDROID = Visible("Android", 65, 240)
BROWSER = Visible("browser", 50, 120)


def reserved_for_fcm(key: str) -> bool:
    """Tell whether FCM refuses a data key.

    Source: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#Message, field data.
    """
    return key in _FCM_WORDS or key.startswith(_FCM_PREFIXES)


_FCM_WORDS = frozenset({"from", "message_type"})
_FCM_PREFIXES = ("google.", "gcm.")
