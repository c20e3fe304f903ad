"""Work done by several threads, given in order, with little of it in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_ordered(
    work: Callable[[T], R], items: Iterable[T], *, threads: int, limit: int
) -> Iterator[R]:
    """Give what `work` makes of each item, in order; `items` are taken by the calling thread.

    Args:
        work: what waits, or lets go of Python's lock.
        items: may be endless.
        threads: how many work at a time.
        limit: results and items under work, at the most, that nobody has taken yet.
    """
    stream = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque(pool.submit(work, item) for item in islice(stream, limit))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(work, item) for item in islice(stream, 1))
                yield result
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
