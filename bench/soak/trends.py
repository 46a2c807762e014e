"""Slopes that a few wild points do not bend."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the median of the slopes between all pairs (Theil and Sen); 0 for fewer than two points.

    Source: https://en.wikipedia.org/wiki/Theil-Sen_estimator
    """
    slopes = [
        (y[after] - y[before]) / (x[after] - x[before])
        for before in range(len(x)) for after in range(before + 1, len(x)) if x[after] != x[before]
    ]  # fmt: skip
    return statistics.median(slopes) if slopes else 0.0
