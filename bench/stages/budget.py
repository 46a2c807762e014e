"""The stages of one notification, and what each may cost: set before anything was measured, and not moved since.

The sum keeps to the 10 to 25 us of one core that the whole way should fit in.
"""

from __future__ import annotations

from dataclasses import dataclass

OUTSIDE, LOOP, PROVIDER = "outside", "loop and glue", "provider"
# The journal sees to its file by time, not by notification: a slow run pays for more of it.
UPKEEP = "upkeep"
PARSE, READ, DEDUP, JOURNAL, ANSWER = "parse", "read", "dedup", "journal", "answer the caller"
PLAN, LANES, WRITE = "plan and render", "lanes", "write requests"
ANSWERS, SETTLE, RECEIPTS = "read answers", "settle", "receipts"


@dataclass(frozen=True, slots=True)
class Budget:
    """us: of one core, for one notification in a batch of 500. why: what the number stands on."""

    stage: str
    us: float
    why: str


BUDGETS = (
    Budget(PARSE, 0.6, "protobuf's own decoder takes some 0.5 us for 230 bytes"),
    Budget(READ, 1.9, "some 25 fields checked, strings made, one object"),
    Budget(DEDUP, 0.6, "two SipHashes of 230 bytes and one miss of the cache in the window"),
    Budget(JOURNAL, 1.3, "one row per 500: 1.3 us measured alone"),
    Budget(ANSWER, 0.6, "40 bytes each"),
    Budget(PLAN, 4.0, "a key hashed, JSON of 200 bytes, one object"),
    Budget(LANES, 0.5, "push and pull take 0.15 us, the slab as much"),
    Budget(WRITE, 2.5, "HPACK of 12 fields and two frames in nghttp2: h2load takes 3.8 to 4.7 with TLS and answers"),
    Budget(ANSWERS, 1.0, "HPACK of 2 fields"),
    Budget(SETTLE, 0.8, "counters, a histogram, slots"),
    Budget(RECEIPTS, 1.0, "75 bytes each, and a row of the journal for many"),
    Budget(LOOP, 0.4, "callbacks per batch, not per notification"),
)
