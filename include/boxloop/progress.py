"""Progress of a long task, told to whoever started it as one line of output at a time."""

from __future__ import annotations

import json
import sys
import time

from boxloop.child import PROGRESS


def tell(*, step: int, steps: int, images_per_second: float, loss: float | None = None) -> None:
    """Print how far a task is, as `boxloop.child.parse_progress` reads it.

    Args:
        step: optimiser steps or images done.
        steps: all there are to do.
        images_per_second: the speed of late.
        loss: the training loss, where there is one.
    """
    value = {"step": step, "steps": steps, "images_per_second": round(images_per_second, 1)}
    if loss is not None:
        value["loss"] = round(loss, 4)
    sys.stdout.write(PROGRESS + json.dumps(value) + "\n")
    sys.stdout.flush()


class Stopwatch:
    """Speed in items a second between calls."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def rate(self, count: float) -> float:
        """Return items a second, `count` of them having passed since the last call."""
        now = time.monotonic()
        elapsed, self._last = now - self._last, now
        return count / max(elapsed, 1e-9)
