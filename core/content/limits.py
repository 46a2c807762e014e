"""What providers allow a notification to contain: sizes, and the data keys that are theirs."""

from __future__ import annotations

# https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification
APNS_MAX_BYTES = 4_096
APNS_VOIP_MAX_BYTES = 5_120
# https://firebase.google.com/docs/cloud-messaging/customize-messages/set-message-type
FCM_MAX_BYTES = 4_096
# https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#AndroidConfig
FCM_MAX_TTL_S = 2_419_200
# A data key of this name would take the place of Apple's own dictionary.
RESERVED_FOR_APNS = "aps"


def reserved_for_fcm(key: str) -> bool:
    """Tell whether FCM refuses a data key.

    Source: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#Message, field data.
    """
    return key in _FCM_WORDS or key.startswith(_FCM_PREFIXES)


_FCM_WORDS = frozenset({"from", "message_type"})
_FCM_PREFIXES = ("google.", "gcm.")
