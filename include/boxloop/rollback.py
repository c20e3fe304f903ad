"""Undo rounds: move what they left aside, so that they can be run again or another way."""

from __future__ import annotations

import itertools
import re
from typing import Any

from boxloop import collected, storage
from boxloop.artifacts import Run
from boxloop.contents import WEIGHTS

_FIRST = ("train.lease", "summary.json", "done")
"""What goes first. Without its lease a trainer that still runs ends before it writes again. And
what says that a round, or a task of it, is finished must not stay behind with half of its files
where a rollback is cut off."""


def rollback(run_uri: str, round_number: int) -> dict[str, Any]:
    """Undo a round and all after it, or finish undoing it.

    Everything of those rounds, the dataset versions that they made and the finished data set move
    to `<run>/rolled_back/<n>/`, the last round first, and the digests of all that was made of them.
    Nothing is deleted. The rounds before, their dataset version and the settings stay. A trainer of
    those rounds that still runs loses its lease, and so ends; other tasks must not run meanwhile.

    Args:
        run_uri: the run's folder, or gs://.
        round_number: the first round to undo, from 1.

    Returns:
        `rounds`: the numbers of those that were undone; `kept_in`: where they are now.

    Raises:
        ValueError: if there is no such run or round, or an earlier rollback of another round was
            cut off and is to be finished first.
    """
    run = Run(run_uri.rstrip("/"))
    rounds, folder = plan_rollback(run, round_number)
    storage.write_json(f"{folder}/rollback.json", _journal(round_number, rounds, False))
    folders = [[run.round(number), run.dataset(number + 1)] for number in reversed(rounds)]
    of_all = [run.run_digests("").rpartition("/")[0], run.final_dataset]
    for uri in [*itertools.chain(*folders), *of_all]:
        storage.move_folder(uri, folder + uri.removeprefix(run.uri), first=_FIRST)
    storage.write_json(f"{folder}/rollback.json", _journal(round_number, rounds, True))
    return {"rounds": rounds, "kept_in": folder}


def plan_rollback(run: Run, round_number: int) -> tuple[list[int], str]:
    """Return the rounds that a rollback undoes, and where they go; nothing is moved.

    Raises:
        ValueError: as `rollback` does.
    """
    if not storage.exists(run.experiment):
        raise ValueError(f"{run.uri} holds no run: it has no experiment.yaml")
    there = started_rounds(run)
    if (unfinished := unfinished_rollback(run)) is not None:
        folder, journal = unfinished
        if journal["round"] != round_number:
            raise ValueError(_finish_first(run, journal["round"]))
        return sorted({*journal["rounds"], *(n for n in there if n >= round_number)}), folder
    if round_number > 1 and round_number <= max(there, default=0):
        _check_weights(run, round_number - 1)
    rounds = [number for number in there if number >= round_number]
    if round_number < 1 or not rounds:
        raise ValueError(
            f"{run.uri} has no round {round_number} to undo: "
            + (f"there are rounds 1 to {there[-1]}" if there else "none has begun")
        )
    last = max((int(uri.split("/")[-2]) for uri in _journals(run)), default=0)
    return rounds, f"{run.uri}/rolled_back/{last + 1}"


def _check_weights(run: Run, round_number: int) -> None:
    """Refuse to undo a round that could not be done again: it begins with the weights before it."""
    if (date := collected.when(run, round_number, WEIGHTS)) is not None:
        raise ValueError(
            f"{run.uri}: the weights of round {round_number} were removed by gc on {date}, so "
            f"round {round_number + 1} could not be done again; undo from a round before which "
            "there are weights, or all: --round 1"
        )


def check_rolled_back(run: Run) -> None:
    """Check that no rollback of a run was cut off.

    Raises:
        ValueError: if one was; says how to finish it.
    """
    if (unfinished := unfinished_rollback(run)) is not None:
        raise ValueError(_finish_first(run, unfinished[1]["round"]))


def unfinished_rollback(run: Run) -> tuple[str, dict[str, Any]] | None:
    """Return folder and journal of a rollback that was cut off, None where there is none."""
    for uri in _journals(run):
        journal = storage.read_json(uri)
        if not journal["is_finished"]:
            return uri.rpartition("/")[0], journal
    return None


def started_rounds(run: Run) -> list[int]:
    """Return the numbers of the rounds that have left anything, sorted."""
    pattern = re.compile(r"(?:round_(\d+)|dataset/round_(\d+))/.")
    numbers = set()
    for uri in storage.list_files(run.uri):
        if found := pattern.match(uri.removeprefix(f"{run.uri}/")):
            own, made_by = found.groups()
            numbers.add(int(own) if own else int(made_by) - 1)
    return sorted(numbers - {0})  # dataset version 1 is the user's own


def _journals(run: Run) -> list[str]:
    files = storage.list_files(f"{run.uri}/rolled_back")
    return [uri for uri in files if re.search(r"/rolled_back/\d+/rollback\.json$", uri)]


def _journal(round_number: int, rounds: list[int], is_finished: bool) -> dict[str, Any]:
    return {"round": round_number, "rounds": rounds, "is_finished": is_finished}


def _finish_first(run: Run, round_number: int) -> str:
    return (
        f"{run.uri}: a rollback was cut off; finish it first: "
        f"boxloop rollback {run.uri} --round {round_number}"
    )
