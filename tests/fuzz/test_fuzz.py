"""Spoilt files of every kind are read or refused: no other error, no hang, no flood of memory.

BOXLOOP_FUZZ_SECONDS: how long each reader is tried, in place of a few inputs that are always the
same (`make fuzz`). BOXLOOP_FUZZ_SEED: the number that decides the inputs; by default the time.
What breaks a reader is kept in build/fuzz, and BOXLOOP_FUZZ_INPUT=FILE tries it again.
"""

import hashlib
import os
import random
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fuzz.mutation import mutate
from tests.fuzz.targets import Target, targets

INPUTS = 120
"""Of each reader, in the fast form."""
SLOWEST = 10.0
"""Seconds of work that one input may take; the largest are some ten thousand bytes."""
MOST_MEMORY = 700 * 2**20
"""Bytes by which this process may grow for a moment, over all inputs of a reader; Linux says."""
STATUS = Path("/proc/self/status")
KEPT = Path(__file__).parents[2] / "build" / "fuzz"

TARGETS = targets()


@pytest.mark.parametrize("name", TARGETS)
def test_valid_files_are_read(name: str) -> None:
    assert TARGETS[name].seeds
    for seed in TARGETS[name].seeds:
        TARGETS[name].read(seed)  # raises if it cannot


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_spoilt_files_are_read_or_refused(name: str) -> None:
    before = _peak_anew()
    for data in _inputs(name, TARGETS[name]):
        _try(name, TARGETS[name], data)
    assert _peak() - before < MOST_MEMORY


@pytest.mark.skipif(not STATUS.exists(), reason="needs Linux, which counts memory")
def test_memory_that_was_taken_before_hides_nothing() -> None:
    for _ in range(2):
        before = _peak_anew()
        assert len(b"x" * int(1e8)) == 1e8
        assert _peak() - before > 90_000_000


def _inputs(name: str, target: Target) -> Iterator[bytes]:
    if given := os.environ.get("BOXLOOP_FUZZ_INPUT"):
        yield Path(given).read_bytes()
        return
    seconds = float(os.environ.get("BOXLOOP_FUZZ_SECONDS", "0"))
    number = os.environ.get("BOXLOOP_FUZZ_SEED") or (f"{time.time():.0f}" if seconds else "1")
    rng, end = random.Random(f"{name} {number}"), time.monotonic() + seconds
    for count in range(10**9):
        if time.monotonic() > end and count >= INPUTS * target.share:
            return
        yield mutate(rng, target.seeds)


def _try(name: str, target: Target, data: bytes) -> None:
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(data)
    except target.errors:
        pass  # as it should be
    except BaseException as error:
        error.add_note(_keep(name, data))
        raise
    assert time.process_time() - start < SLOWEST, _keep(name, data)


def _keep(name: str, data: bytes) -> str:
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return f"BOXLOOP_FUZZ_INPUT={path} breaks the reader {name}"


def _peak_anew() -> int:
    """Let Linux forget the peak of this process; return the new one.

    Source: man 5 proc_pid_clear_refs
    """
    if STATUS.exists():
        STATUS.with_name("clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    """Return the most bytes of memory that this process had since, 0 where nobody counts them."""
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text()) if STATUS.exists() else None
    return int(found[1]) * 1024 if found else 0
