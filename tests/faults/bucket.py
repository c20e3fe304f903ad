"""A bucket that fails, stumbles, lies, and is away."""

from __future__ import annotations

import time
from typing import Any

from tests.faults.campaign import Act, Scene
from tests.faults.parts import Moment
from tests.faulty_bucket import FaultyBucket

from boxloop import storage

DATA = r"/o/|/o\?"
"""Requests about objects."""


def strikes(bucket: FaultyBucket, moment: Moment, what: str, kind: str, **options: Any) -> Act:
    """Let requests go wrong from a moment on; return when at least one was struck."""

    def act(scene: Scene) -> str:
        scene.stage.wait_for(*moment)
        fault = bucket.strike(kind, **{"where": DATA, **options})
        end = time.monotonic() + 300
        while fault.struck == 0 and time.monotonic() < end:
            time.sleep(0.2)
        if fault.struck == 0:
            raise TimeoutError(f"no request met: {what}")
        return f"bucket: {what}"

    return act


def away(bucket: FaultyBucket, moment: Moment, seconds: float) -> Act:
    """Let every request fail for some time."""

    def act(scene: Scene) -> str:
        scene.stage.wait_for(*moment)
        fault = bucket.strike("cut_before", count=-1)
        time.sleep(seconds)
        bucket.faults.remove(fault)
        return f"bucket: away for {seconds:.0f} s"

    return act


def take_lease(moment: Moment) -> Act:
    """Write over the lease of a trainer that lives; it ends, and the next waits a minute."""

    def act(scene: Scene) -> str:
        scene.stage.wait_for(*moment)
        storage.write_bytes(scene.run.lease(moment[1]), b"another writer was here")
        return "bucket: another writer takes a trainer's lease"

    return act
