from collections.abc import Mapping

from core.delivery import Notification

class QuickReader:
    def __init__(
        self, tenant: str, tenant_tag: int, providers: Mapping[str, frozenset[int]], app_tags: Mapping[str, int]
    ) -> None: ...
    def read(self, body: bytes, now_unix_ms: int) -> tuple[Notification, bytes] | None: ...
