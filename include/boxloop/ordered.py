"""Work done by several threads, given in order, with little of it in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_CHUNK = 32  # names handed to a thread at once


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


def map_files(work: Callable[[str], T], names: Sequence[str], *, threads: int) -> Iterator[T]:
    """Give what `work` makes of each name, in order, by threads that take a few names at a time.

    Args:
        work: reads a small file and returns what is to be known of it.
        names: of the files.
        threads: more than 1 where most of the work is waiting, or lets go of Python's lock; local
            files take less time to read than threads take to pass that lock around.
    """
    chunks = [names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK)]
    with ThreadPoolExecutor(threads) as pool:
        yield from chain.from_iterable(
            pool.map(lambda chunk: [work(name) for name in chunk], chunks)
        )
