"""The last minute of each rate, and its picture in one line of text."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gateway.top.figures import Snapshot

KEPT = 60
BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.,:-=+#"
Name = tuple[str, ...]


class History:
    """Keeps one value per look and rate, the newest last; what a look does not name was 0."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._looks: deque[dict[Name, float]] = deque(maxlen=kept)

    def add(self, now: Snapshot) -> None:
        """Take one snapshot's rates in."""
        self._looks.append(
            {(): now.accepted_per_s, ("delivered",): now.delivered_per_s}
            | {(one.name,): one.accepted_per_s for one in now.classes}
            | {(one.provider, one.app): one.sent_per_s for one in now.routes}
        )

    def skip(self) -> None:
        """Note a look that got no answer."""
        self._looks.append({})

    def of(self, *name: str) -> list[float]:
        """Return the values of one rate; no name is all that is accepted."""
        return [look.get(name, 0.0) for look in self._looks]


def sparkline(values: Sequence[float], width: int, bars: str = BARS, kept: int = KEPT) -> str:
    """Draw the last `kept` values as `width` bars, the newest at the right; each bar is the largest of its share.

    Nothing is a space, and anything else at least the lowest bar.
    """
    if width <= 0:
        return ""
    width = min(width, kept)
    padded = [0.0] * (kept - len(values)) + list(values)[-kept:]
    shares = [padded[i * kept // width : (i + 1) * kept // width] for i in range(width)]
    heights = [max(share) for share in shares]
    top = max(heights)
    last = len(bars) - 1
    return "".join(" " if height <= 0 else bars[min(int(height / top * len(bars)), last)] for height in heights)
