"""Spans of time. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable


def busy_seconds(spans: Iterable[tuple[float, float]]) -> float:
    """Return for how many seconds at least one of some spans lasted.

    Args:
        spans: start and length of each, in seconds.
    """
    busy, end = 0.0, -math.inf
    for start, seconds in sorted(spans):
        last = start + seconds
        if last > end:
            busy += seconds if start >= end else last - end
            end = last
    return busy
