"""FCM's errors in Google's JSON form: google.rpc.Status with FcmError, BadRequest and QuotaFailure details.

Source: https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode, https://cloud.google.com/apis/design/errors
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from adapters.simulators.fcm_checks import Violation

Detail = dict[str, object]

_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class FcmRefusal(NamedTuple):
    """An error: its HTTP status, and FcmError's code, "" for errors that come from Google's front and not from FCM."""

    status: int
    code: str
    message: str
    details: tuple[Detail, ...] = ()

    @property
    def reason(self) -> str:
        """FcmError's code, or else google.rpc's status."""
        return self.code or _STATUSES[self.status]

    def body(self) -> bytes:
        """Return the JSON."""
        details = list(self.details)
        if self.code:
            details.insert(0, {"@type": _FCM_ERROR, "errorCode": self.code})
        error: dict[str, object] = {
            "code": self.status,
            "message": self.message,
            "status": _STATUSES[self.status],
        }
        if details:
            error["details"] = details
        return orjson.dumps({"error": error})


UNAUTHENTICATED = FcmRefusal(401, "", "The request carries no valid OAuth 2 access token.")
PERMISSION_DENIED = FcmRefusal(403, "", "The caller may not send messages in this project.")
PROJECT_NOT_FOUND = FcmRefusal(404, "", "No such project.")
PATH_NOT_FOUND = FcmRefusal(404, "", "No such method.")
MALFORMED_JSON = FcmRefusal(400, "", "The request body is not a JSON object.")
UNREGISTERED = FcmRefusal(404, "UNREGISTERED", "The requested entity was not found.")
SENDER_ID_MISMATCH = FcmRefusal(403, "SENDER_ID_MISMATCH", "The token belongs to another sender.")
INTERNAL = FcmRefusal(500, "INTERNAL", "An internal error occurred.")
UNAVAILABLE = FcmRefusal(503, "UNAVAILABLE", "The service is currently unavailable.")


def quota_exceeded(subject: str) -> FcmRefusal:
    """Make the 429 of one quota; subject says whose it is, such as `project:x` or `device`."""
    failure: Detail = {
        "@type": _QUOTA_FAILURE,
        "violations": [{"subject": subject, "description": "Too many messages."}],
    }
    return FcmRefusal(429, "QUOTA_EXCEEDED", f"Quota exceeded for {subject}.", (failure,))


def invalid_argument(violations: Sequence[Violation]) -> FcmRefusal:
    """Make the 400 of a message's violations; like Google's, an unknown field never reaches FCM and has no FcmError."""
    bad_request: Detail = {
        "@type": _BAD_REQUEST,
        "fieldViolations": [{"field": each.field, "description": each.why} for each in violations],
    }
    first = violations[0]
    code = "" if any(each.unknown for each in violations) else "INVALID_ARGUMENT"
    return FcmRefusal(400, code, f"Invalid value at '{first.field}': {first.why}", (bad_request,))
