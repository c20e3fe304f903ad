"""What is asked for often and costs much: worked out once for each key, whoever asks."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Kept(Generic[P, T]):
    """A function whose values are kept. Who asks while one is being worked out, waits for it.

    An error is not kept: the next one who asks tries again.

    Args:
        work: the function; its arguments can be hashed and are given by place.
        seconds: how long a value is kept.
        most: how many are kept.
    """

    def __init__(self, work: Callable[P, T], seconds: float, most: int = 256) -> None:
        self._work, self._seconds, self._most = work, seconds, most
        self._values: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def __call__(self, *key: P.args, **nothing: P.kwargs) -> T:
        """Return the value for some arguments."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            kept = self._values.get(key)
            if kept and time.monotonic() < kept[0]:
                return kept[1]
            value = self._work(*key, **nothing)
            self._keep(key, value)
        return value

    def forget(self, *key: P.args, **nothing: P.kwargs) -> None:
        """Let the value for some arguments be worked out again."""
        with self._lock:
            self._values.pop(key, None)

    def _keep(self, key: Hashable, value: T) -> None:
        with self._lock:
            self._values[key] = time.monotonic() + self._seconds, value
            self._values.move_to_end(key)
            if len(self._values) > self._most:
                oldest, _ = self._values.popitem(last=False)
                self._locks.pop(oldest, None)


def kept(seconds: float, most: int = 256) -> Callable[[Callable[P, T]], Kept[P, T]]:
    """Return the decorator that keeps what a function returns."""
    return lambda work: Kept(work, seconds, most)
