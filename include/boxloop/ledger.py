"""What has been done: completion markers, which make every task safe to run again.

A task ends by writing its marker, which holds its value and a fingerprint of all that went
before. Run again, it finds the marker and returns the value at once. A task that was killed
half-way has no marker and is simply done again; what it wrote is overwritten by the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.experiment import fixed_settings, read_experiment
from boxloop.oracle.stopping import reason_to_stop
from boxloop.rollback import check_rolled_back
from boxloop.stages import stage_line

log = logging.getLogger(__name__)

UPSTREAM: Mapping[str, tuple[str, ...]] = {
    "parse_annotations": (),
    "write_tfrecords": ("parse_annotations",),
    "train": ("write_tfrecords",),
    "export": ("train",),
    "evaluate": ("export",),
    "predict": ("export",),
    "match_labels": ("predict", "evaluate"),
    "merge": ("match_labels",),
}
"""The tasks of a round, and the ones that each of them builds on: the graph that the DAG draws."""
ROUND_TASKS = tuple(UPSTREAM)

Value = dict[str, Any]


def run_once(
    run: Run, round_number: int, name: str, work: Callable[[], Value], *, started: float
) -> Value:
    """Do a task's work, or return what it returned before.

    Args:
        run: the run.
        round_number: from 1.
        name: of the task, or of its shard, as `marker_name` gives it.
        work: what is to be done; its value must be JSON.
        started: when the task began, in Unix seconds.
    """
    if (done := finished_value(run, round_number, name)) is not None:
        return done
    fingerprint = _fingerprint(run, round_number, name)
    value = work()
    timing = {"started": started, "seconds": round(time.time() - started, 3)}
    storage.write_json(run.timing(round_number, name), timing)
    marker = {"fingerprint": fingerprint, "value": value}
    storage.write_json(run.marker(round_number, name), marker)
    log.info("%s", stage_line(name, timing["seconds"]))
    return value


def record_wait(run: Run, round_number: int, task: str, *, until: float) -> None:
    """Add to a task's timing how long the round then waited for people.

    Args:
        run: the run.
        round_number: from 1.
        task: that has asked them, and has been done.
        until: when the round went on, in Unix seconds.
    """
    uri = run.timing(round_number, task)
    timing = storage.read_json(uri)
    waited = max(0.0, until - timing["started"] - timing["seconds"])
    storage.write_json(uri, {**timing, "waited": round(waited, 3)})


def finished_value(run: Run, round_number: int, name: str) -> Value | None:
    """Return what a task returned, if it has been done with the inputs that are there now."""
    uri = run.marker(round_number, name)
    if not storage.exists(uri):
        return None
    marker = storage.read_json(uri)
    if marker["fingerprint"] != _fingerprint(run, round_number, name):
        return None
    log.info("%s of round %d is done already", name, round_number)
    return dict(marker["value"])


def marker_name(task: str, shard: int = 0, num_shards: int = 1) -> str:
    """Return the name under which a task, or one shard of it, keeps its marker and timing."""
    return f"{task}-{shard:05d}-of-{num_shards:05d}" if task == "predict" else task


def task_value(
    task: str, run_uri: str, round_number: int, *, shard: int = 0, num_shards: int = 1
) -> Value:
    """Return what a finished task returned.

    Raises:
        FileNotFoundError: if it has not finished.
    """
    name = marker_name(task, shard, num_shards)
    return dict(storage.read_json(Run(run_uri).marker(round_number, name))["value"])


def shard_values(run_uri: str, round_number: int) -> list[Value]:
    """Return what each shard of `predict` returned, in order.

    Raises:
        ValueError: if shards are missing, or there are some of another number of shards.
    """
    return [marker["value"] for marker in _shard_markers(Run(run_uri), round_number)]


def check_previous_round(run_uri: str, round_number: int) -> str | None:
    """Return why the experiment has stopped before this round, or None where it goes on.

    The rules are those of the settings as they are now. A round that is finished stays so,
    whatever the rules have become.

    Raises:
        ValueError: if an earlier round has not finished, or is not the one that the round after
            it was built on; or if undoing rounds was cut off.
    """
    run = Run(run_uri)
    check_rolled_back(run)
    for number in range(1, round_number):
        if not storage.exists(run.summary(number)):
            raise ValueError(f"round {number} has no summary: run it before round {round_number}")
        if storage.read_json(run.summary(number))["parent_digest"] != parent_digest(run, number):
            raise ValueError(
                f"round {number} was built on another round {number - 1} than the one that is "
                f"there: clear the tasks of round {number} and run it again"
            )
    if round_number == 1 or storage.exists(run.summary(round_number)):
        return None
    return why_stopped(run, round_number - 1)


def why_stopped(run: Run, last_round: int) -> str | None:
    """Return why the experiment stops after a finished round, or None where it goes on."""
    experiment = read_experiment(run.experiment)
    summaries = [storage.read_json(run.summary(n)) for n in range(1, last_round + 1)]
    return reason_to_stop(summaries, experiment.stop, by=experiment.oracle.by)


def finished_rounds(run: Run) -> int:
    """Return how many rounds are finished, one after the other from the first."""
    number = 0
    while storage.exists(run.summary(number + 1)):
        number += 1
    return number


def round_seconds(run: Run, round_number: int) -> float:
    """Return the time that the tasks of a round have taken, in seconds; all but the last."""
    folder = run.timing(round_number, "*").rpartition("/")[0]
    last = run.timing(round_number, ROUND_TASKS[-1])
    uris = [uri for uri in storage.list_files(folder) if uri.endswith(".json") and uri != last]
    return round(sum(float(storage.read_json(uri)["seconds"]) for uri in uris), 3)


def parent_digest(run: Run, round_number: int) -> str | None:
    """Return the digest of the summary of the round before, None for the first."""
    return storage.digest(run.summary(round_number - 1)) if round_number > 1 else None


def _fingerprint(run: Run, round_number: int, name: str) -> str:
    """Digest all that decides a task's result: the markers of its upstream, or the settings.

    How many rounds there are to be decides nothing, so that rounds can be added. Markers carry
    fingerprints of their own, so a change anywhere upstream reaches every task.
    """
    inputs: list[Any] = []
    for task in UPSTREAM[name.partition("-")[0]]:
        inputs += _markers(run, round_number, task)
    if not inputs and round_number > 1:
        inputs = _markers(run, round_number - 1, ROUND_TASKS[-1])
    elif not inputs:
        inputs = [fixed_settings(storage.read_bytes(run.experiment))]
    return hashlib.sha256(json.dumps([name, inputs], sort_keys=True).encode()).hexdigest()


def _markers(run: Run, round_number: int, task: str) -> list[Any]:
    if task == "predict":
        return _shard_markers(run, round_number)
    return [storage.read_json(run.marker(round_number, task))]


def _shard_markers(run: Run, round_number: int) -> list[Any]:
    folder = run.marker(round_number, "predict").rpartition("/")[0]
    found = [uri for uri in storage.list_files(folder) if "/predict-" in uri]
    counts = {int(uri.removesuffix(".json").rpartition("-of-")[2]) for uri in found}
    if counts != {len(found)}:
        raise ValueError(
            f"{folder}: shards of predict found: {len(found)}, of {sorted(counts)}; run those "
            "that are missing, and delete those of another number of shards"
        )
    return [storage.read_json(uri) for uri in found]
