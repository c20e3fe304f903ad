"""The champion: which detector is the best so far, and how it came to be.

Its history is a row of numbered records, each written once; the last one says who is champion. To
go back to an earlier champion is a further record that points at it. A record is only written with
the number after the one that its writer knew, so of two that promote at once, one wins and the
other is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from boxloop import moved, storage
from boxloop.artifacts import Champions, Library, Run
from boxloop.ledger import finished_rounds, task_value
from boxloop.training import weights_digest

Record = dict[str, Any]

PROMOTED, SET, ROLLED_BACK = "promoted", "set", "rolled back"
"""How a detector became the champion."""
DETECTOR = (
    "run_uri",
    "round",
    "bundle_uri",
    "bundle_digest",
    "weights_digest",
    "class_names",
    "map50",
    "map50_interval",
)
"""What a record says of the detector itself."""


def history(root: str, name: str) -> list[Record]:
    """Return all records of a champion, the oldest first."""
    champions = Champions.of(root, name)
    records: list[Record] = []
    while storage.exists(champions.record(len(records) + 1)):
        record = storage.read_json(champions.record(len(records) + 1))
        records.append(dict(moved.value_here(record, champions.uri)))
    return records


def current(root: str, name: str) -> Record | None:
    """Return the record of the champion as it is now, None where there is none yet."""
    records = history(root, name)
    return records[-1] if records else None


def event_of(decision: Mapping[str, Any], root: str) -> Record | None:
    """Return what an event of the champion's asset tells, None where there is none to make.

    There is none if the challenger was not promoted, or is not the champion any more.

    Args:
        decision: as `boxloop.promotion.promote` returned it.
        root: the artifact root.
    """
    if not decision["is_promoted"]:
        return None
    best = current(root, decision["name"])
    if best is None or best["number"] != decision["record"]:
        return None
    return {"name": decision["name"], "record": decision["record"], **decision["challenger"]}


def describe(run: Run, round_number: int) -> Record:
    """Return what a record says of the detector of a finished round.

    Raises:
        FileNotFoundError: if the round is not finished, or its weights or its bundle are gone.
    """
    summary = storage.read_json(run.summary(round_number))
    bundle = storage.read_json(f"{run.model(round_number)}/bundle.json")
    return {
        "run_uri": run.uri,
        "round": round_number,
        "bundle_uri": run.model(round_number),
        "bundle_digest": bundle["digest"],
        "weights_digest": weights_digest(run.round(round_number)),
        "class_names": task_value("parse_annotations", run.uri, round_number)["class_names"],
        "map50": summary["map50"],
        "map50_interval": summary.get("map50_interval"),
    }


def append(root: str, name: str, detector: Mapping[str, Any], after: int, **said: Any) -> Record:
    """Make a detector the champion.

    Args:
        root: the artifact root.
        name: of the champion.
        detector: as `describe` returns it.
        after: number of the record that was the last one when this was decided, 0 for none.
        said: `how`, `by`, `reason` and what else is worth knowing.

    Raises:
        RuntimeError: if there is a later record by now: what was decided may no longer be true.
    """
    record = {"number": after + 1, **detector, **said}
    record["at"] = datetime.now(UTC).isoformat(timespec="seconds")
    data = (json.dumps(record, indent=2, sort_keys=True) + "\n").encode()
    uri = Champions.of(root, name).record(after + 1)
    if not storage.swap_bytes(uri, None, data):
        raise RuntimeError(f"{uri}: another champion was written meanwhile; compare with that one")
    return record


def set_champion(
    root: str, name: str, run_uri: str, *, round_number: int | None, by: str
) -> Record:
    """Make a detector of an existing run the champion, whatever it is compared with.

    Args:
        root: the artifact root.
        name: of the champion.
        run_uri: the run's folder.
        round_number: by default the last one that is finished.
        by: who says so.

    Raises:
        ValueError: if the run has no such finished round, or was trained on test images of the
            library of that name.
    """
    run = Run(storage.absolute(run_uri))
    last = finished_rounds(run)
    number = last if round_number is None else round_number
    if not 1 <= number <= last:
        raise ValueError(f"{run.uri} has {last} finished rounds: there is no round {number} to set")
    _check_not_of_test(run, number, Library.of(root, name))
    known = history(root, name)
    return append(
        root, name, describe(run, number), len(known), how=SET, by=by, reason="set by hand"
    )


def _check_not_of_test(run: Run, round_number: int, library: Library) -> None:
    """Refuse a detector that was trained on test images of a library, if there is one."""
    from boxloop.data.dataset import read_dataset

    nights = [uri for uri in storage.list_files(library.nights) if uri.endswith(".json")]
    if not nights:
        return
    version = storage.read_json(nights[-1])["version"]
    test = set(read_dataset(library.version(version)).split("test")["sha256"])
    trained = set(read_dataset(run.dataset(round_number)).training_images["sha256"])
    if both := test & trained:
        raise ValueError(
            f"{run.uri} was trained on {len(both)} of the {len(test)} test images of "
            f"{library.uri}: it cannot be compared there. Name another run, or "
            "begin another champion with --name"
        )


def roll_back(root: str, name: str, *, to: int | None, by: str) -> Record:
    """Make an earlier champion the champion again, by a record that points at it.

    Args:
        root: the artifact root.
        name: of the champion.
        to: number of the record; by default the last one before the present champion's own that
            names another detector, so that a second rollback goes further back.
        by: who says so.

    Raises:
        ValueError: if there is no such record.
        FileNotFoundError: if that detector is gone.
    """
    known = history(root, name)
    target = _target(known, name, to)
    detector = {key: target[key] for key in DETECTOR}
    found = describe(Run(target["run_uri"]), target["round"])
    if any(found[name] != target[name] for name in ("bundle_digest", "weights_digest")):
        raise ValueError(
            f"{target['bundle_uri']} or its weights are another model than that of record "
            f"{target['number']}: name an earlier record with --to"
        )
    said = {"how": ROLLED_BACK, "by": by, "points_to": target["number"]}
    return append(
        root, name, detector, len(known), reason=f"back to record {target['number']}", **said
    )


def _target(known: list[Record], name: str, to: int | None) -> Record:
    if to is None:
        here = _origin(known)
        before = known[: here["number"] - 1] if here else []
        others = [one for one in before if here and one["bundle_digest"] != here["bundle_digest"]]
        if not others:
            raise ValueError(f"champion {name} has no earlier detector to go back to")
        return others[-1]
    if not 1 <= to <= len(known):
        there = f"there are 1 to {len(known)}" if known else "there is none yet"
        raise ValueError(f"champion {name} has no record {to}: {there}")
    return known[to - 1]


def _origin(known: list[Record]) -> Record | None:
    """Return the record that the last one points back to in the end, which may be itself."""
    record = known[-1] if known else None
    while record and record.get("points_to"):
        record = known[record["points_to"] - 1]
    return record
