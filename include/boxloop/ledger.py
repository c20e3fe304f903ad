"""What has been done: completion markers, which make every task safe to run again.

A task ends by writing its marker, which holds its value and a fingerprint of all that went
before. Run again, it finds the marker and returns the value at once. A task that was killed
half-way has no marker and is simply done again; what it wrote is overwritten by the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from boxloop import digests, moved, storage
from boxloop.artifacts import Run
from boxloop.experiment import fixed_settings, read_experiment
from boxloop.oracle.stopping import reason_to_stop
from boxloop.pool_parts import sign_of
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
BRIEF = 100
"""The most entries of a list or mapping that people are shown."""

Value = dict[str, Any]


def run_once(
    run: Run, round_number: int, name: str, work: Callable[[], Value], *, started: float
) -> Value:
    """Do a task's work, or return what it returned before.

    Args:
        run: the run.
        round_number: from 1.
        name: of the task, or of one of its workers, as `marker_name` gives it.
        work: what is to be done; its value must be JSON.
        started: when the task began, in Unix seconds.
    """
    if (done := finished_value(run, round_number, name)) is not None:
        return done
    fingerprint = _fingerprint(run, round_number, name)
    with digests.recording() as written:
        value = work()
    _keep_digests(run, round_number, name, value, written)
    if (done := finished_value(run, round_number, name)) is not None:
        return done  # a double was quicker, and others have gone on from what it returned
    timing = {"started": started, "seconds": round(time.time() - started, 3)}
    storage.write_json(run.timing(round_number, name), timing)
    marker = {"fingerprint": fingerprint, "value": value}
    _settle(run)  # a power cut must not keep the marker and lose what it vouches for
    storage.write_json(run.marker(round_number, name), marker)
    _settle(run)
    log.info("%s", stage_line(name, timing["seconds"]))
    return value


def _keep_digests(
    run: Run, round_number: int, name: str, value: Value, written: digests.Written
) -> None:
    """Write the digests of what a task wrote, and of what it found there and goes on from.

    Those are parts of the pool that its workers made, or an attempt that was killed. What no worker
    has noted is read, and what workers on unlike machines have noted as different bytes.
    """
    parts = value.get("detections_uris", [])
    named = [*parts, *value.get("embeddings_uris", []), *map(sign_of, parts)]
    left = [uri for uri in named if uri not in written]
    noted = _noted_by_workers(run, round_number, name) if left else {}
    for uri in left:
        if len(said := noted.get(uri, set())) == 1:
            written[uri] = said.pop()
        elif storage.exists(uri):
            written[uri] = digests.of(storage.read_bytes(uri))
    storage.write_json(run.digests(round_number, name), digests.build(run.uri, written))


def _noted_by_workers(run: Run, round_number: int, task: str) -> dict[str, set[digests.Digest]]:
    """Return what workers of a task have noted of each file."""
    noted: dict[str, set[digests.Digest]] = {}
    for uri in storage.list_files(run.digests(round_number, "*").rpartition("/")[0]):
        if f"/{task}-" in uri:
            for file, digest in digests.parse(storage.read_json(uri), uri).items():
                noted.setdefault(f"{run.uri}/{file}", set()).add(digest)
    return noted


@contextlib.contextmanager
def recorded(run: Run, task: str) -> Iterator[None]:
    """Keep the digests of what a task of no round writes into the run's folder."""
    with digests.recording() as written:
        yield
    storage.write_json(run.run_digests(task), digests.build(run.uri, written))


def finished_value(run: Run, round_number: int, name: str) -> Value | None:
    """Return what a task returned, if it has been done with the inputs that are there now."""
    uri = run.marker(round_number, name)
    if not storage.exists(uri):
        return None
    marker = storage.read_json(uri)
    if marker["fingerprint"] != _fingerprint(run, round_number, name):
        return None
    log.info("%s of round %d is done already", name, round_number)
    return dict(moved.value_here(marker["value"], run.uri))


def fits(run: Run, round_number: int, name: str) -> bool:
    """Whether the marker of a task or shard fits to all that went before.

    Raises:
        FileNotFoundError: if it is missing, or one of those before.
    """
    marker = storage.read_json(run.marker(round_number, name))
    return bool(marker["fingerprint"] == _fingerprint(run, round_number, name))


def marker_name(task: str, worker: int = 0, workers: int = 1) -> str:
    """Return the name under which a task, or one of its workers, keeps its marker and timing.

    Args:
        task: of ROUND_TASKS.
        worker: its number, from 1; 0: the task itself.
        workers: how many there are.
    """
    return f"{task}-{worker:05d}-of-{workers:05d}" if worker else task


def task_value(
    task: str, run_uri: str, round_number: int, *, worker: int = 0, workers: int = 1
) -> Value:
    """Return what a finished task returned.

    Raises:
        FileNotFoundError: if it has not finished.
    """
    name = marker_name(task, worker, workers)
    value = storage.read_json(Run(run_uri).marker(round_number, name))["value"]
    return dict(moved.value_here(value, run_uri))


def exported_digest(run: Run, round_number: int) -> str | None:
    """Return the digest of the bundle that a round has exported, None where that is unknown."""
    uri = run.marker(round_number, "export")
    return storage.read_json(uri)["value"].get("digest") if storage.exists(uri) else None


def brief(value: Any) -> Any:
    """Return a task's value for people: of what grows with the images, only the number.

    Airflow keeps what a task returns in its database, and nobody reads it there but people.
    """
    if isinstance(value, dict | list) and len(value) > BRIEF:
        return f"{len(value)} entries, in the task's marker"
    if isinstance(value, dict):
        return {name: brief(each) for name, each in value.items()}
    return [brief(each) for each in value] if isinstance(value, list) else value


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


def parent_digest(run: Run, round_number: int) -> str | None:
    """Return the digest of the summary of the round before, None for the first."""
    return storage.digest(run.summary(round_number - 1)) if round_number > 1 else None


def _settle(run: Run) -> None:
    """Have the disk keep what was written until now; a bucket does so by itself."""
    if not storage.is_remote(run.uri):
        os.sync()


def _fingerprint(run: Run, round_number: int, name: str) -> str:
    """Digest all that decides a task's result: the markers of its upstream, or the settings.

    How many rounds there are to be decides nothing, so that rounds can be added. Markers carry
    fingerprints of their own, so a change anywhere upstream reaches every task.
    """
    inputs = [
        storage.read_json(run.marker(round_number, task))
        for task in UPSTREAM[name.partition("-")[0]]
    ]
    if not inputs and round_number > 1:
        inputs = [storage.read_json(run.marker(round_number - 1, ROUND_TASKS[-1]))]
    elif not inputs:
        inputs = [fixed_settings(storage.read_bytes(run.experiment))]
    return hashlib.sha256(json.dumps([name, inputs], sort_keys=True).encode()).hexdigest()
