from array import array
from collections.abc import Iterable

from core.frequency_table import FrequencyTable

BLOCKED: int
GRANTED: int
KNOWN: int
TABLE_FULL: int
NEVER_S: int
Ints = array[int] | memoryview[int]

class FrequencyCounters(FrequencyTable):
    def reserve_many(
        self, users: Ints, tags: Ints, masks: Ints, bits: Ints, limits: Ints, since_s: Ints, until_s: Ints, now_s: int,
        granted: Ints, blocking: Ints, retry_at_s: Ints, peek: bool = False,
    ) -> int: ...
    def commit_many(self, users: Ints, tags: Ints, masks: Ints, now_s: int) -> int: ...
    def release_many(self, users: Ints, tags: Ints) -> int: ...
    def events_of(self, user: int) -> list[tuple[int, int, int, bool]]: ...
    def add_events(self, user: int, events: Iterable[tuple[int, int, int, bool]], now_s: int) -> int: ...
    def forget(self, user: int) -> int: ...
