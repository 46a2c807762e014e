"""How a request ended, as far as its sender can know."""

from enum import IntEnum


class Fate(IntEnum):
    """What may be concluded about one request; the numbers are those of the C layer.

    PENDING: not submitted, or still in flight. ANSWERED: `status` is the server's word. NOT_SENT: the server cannot
    have processed it (never written whole, refused, above GOAWAY's last id), so it may be resent freely. UNKNOWN:
    written and then lost without an answer, so it may have been processed. TIMED_OUT: no answer in time, may have
    been processed.

    Source: RFC 9113 section 8.7, https://www.rfc-editor.org/rfc/rfc9113#section-8.7
    """

    PENDING = 0
    ANSWERED = 1
    NOT_SENT = 2
    UNKNOWN = 3
    TIMED_OUT = 4
