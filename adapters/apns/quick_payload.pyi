from core.delivery import Notification

def render_alerts(
    notifications: list[Notification], max_bytes: int, envelope: object
) -> list[tuple[bytes, object] | None]: ...
