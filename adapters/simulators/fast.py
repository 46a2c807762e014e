"""A front for benchmarks: every request is answered in C without a look at it, so that it is never the bottleneck."""

from __future__ import annotations

import ssl

from adapters.http2.headers import HeaderBlock
from adapters.http2.server import Http2Server
from adapters.http2.server_session import CannedAnswer, ServerRequest

APNS_ERROR_BODY = b'{"reason":"Unregistered","timestamp":1700000000000}'
FCM_BODY = b'{"name":"projects/walletpush-simulated/messages/0:1"}'
FCM_ERROR_BODY = (
    b'{"error":{"code":404,"message":"The requested entity was not found.","status":"NOT_FOUND","details":'
    b'[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"}]}}'
)
_JSON = ((b"content-type", b"application/json; charset=UTF-8"),)
_APNS_ID = ((b"apns-id", b"00000000-0000-4000-8000-000000000000"),)


def apns_answers(error_one_in: int = 0) -> tuple[CannedAnswer, ...]:
    """Make the round of answers of a fast APNs: every n-th is a 410 with a body; 0 is never."""
    good = CannedAnswer(HeaderBlock(((b":status", b"200"), *_APNS_ID)))
    return _round(good, CannedAnswer(HeaderBlock(((b":status", b"410"), *_APNS_ID)), APNS_ERROR_BODY), error_one_in)


def fcm_answers(error_one_in: int = 0) -> tuple[CannedAnswer, ...]:
    """Make the round of answers of a fast FCM: every n-th is a 404 UNREGISTERED; 0 is never."""
    good = CannedAnswer(HeaderBlock(((b":status", b"200"), *_JSON)), FCM_BODY)
    return _round(good, CannedAnswer(HeaderBlock(((b":status", b"404"), *_JSON)), FCM_ERROR_BODY), error_one_in)


def fast_server(tls: ssl.SSLContext, answers: tuple[CannedAnswer, ...]) -> Http2Server:
    """Make a server that gives these answers in turn, per connection, over one large window."""
    return Http2Server(_never, tls, canned=answers, window_bytes=1_048_576)


def _round(good: CannedAnswer, bad: CannedAnswer, error_one_in: int) -> tuple[CannedAnswer, ...]:
    if error_one_in < 0:
        raise ValueError(f"every {error_one_in}th answer cannot be an error")
    return (good,) if error_one_in == 0 else (*(good,) * (error_one_in - 1), bad)


def _never(requests: list[ServerRequest]) -> None:
    raise AssertionError(f"{len(requests)} requests reached Python")
