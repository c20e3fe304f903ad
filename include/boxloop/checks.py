"""What `boxloop verify` finds out; the checks of what a run says of itself, in small files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from boxloop import champion, storage
from boxloop.artifacts import Champions, Run
from boxloop.contents import MARKERS, PROMOTION, REVIEWS, SETTINGS, SUMMARIES, content_of
from boxloop.experiment import read_experiment
from boxloop.ledger import ROUND_TASKS, exported_digest, fits, parent_digest

OK = "ok"
DAMAGED = "damaged"
MISSING = "missing"
REMOVED = "removed by gc"
UNKNOWN = "no digest"
UNEXPECTED = "unexpected"
STATES = (OK, DAMAGED, MISSING, REMOVED, UNKNOWN, UNEXPECTED)
WRONG = frozenset({DAMAGED, MISSING})
"""States of which people must know."""

BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""What reading a damaged file of JSON, or of settings, may raise."""


class Finding(NamedTuple):
    """What was found out about a file, or about an image of the data."""

    kind: str
    """Of boxloop.contents."""
    state: str
    """Of STATES."""
    name: str
    """Below the run; of what lies elsewhere its address."""
    detail: str = ""
    """What was found, and what to do."""


def check_settings(run: Run) -> Finding:
    """Check that the settings can be read; that they are the same, the first marker says."""
    name = run.experiment.removeprefix(f"{run.uri}/")
    try:
        read_experiment(run.experiment)
    except BROKEN as error:
        return Finding(SETTINGS, DAMAGED, name, f"{error}; restore it from a backup")
    return Finding(SETTINGS, OK, name)


def check_markers(run: Run, names: Iterable[str]) -> Iterator[Finding]:
    """Check that each completion marker fits to all that went before it, back to the settings.

    One of a worker that does not is no harm: its task was done anew, and perhaps by other workers.

    Args:
        run: the run.
        names: of all files below it.
    """
    for name in names:
        content, task = content_of(name), name.rpartition("/")[2].removesuffix(".json")
        if content.kind != MARKERS:
            continue
        try:
            is_right, why = fits(run, content.round_number, task), ""
        except BROKEN as error:
            is_right, why = False, f" ({error})"
        if not is_right and task not in ROUND_TASKS:
            continue
        detail = f"does not fit to the markers before it{why}; {what_to_do(run, name)}"
        yield Finding(MARKERS, OK, name) if is_right else Finding(MARKERS, DAMAGED, name, detail)


def check_summaries(run: Run, names: Iterable[str]) -> Iterator[Finding]:
    """Check that each round's summary is what its last task returned, and names the one before."""
    for name in names:
        kind, number = content_of(name)
        if kind != SUMMARIES:
            continue
        try:
            summary = storage.read_json(run.summary(number))
            is_right = summary["parent_digest"] == parent_digest(run, number)
            is_right &= _without_times(summary) == _without_times(_value_of_merge(run, number))
        except BROKEN:
            is_right = False
        detail = f"is not that of this round after the one before; {what_to_do(run, name)}"
        yield Finding(kind, OK, name) if is_right else Finding(kind, DAMAGED, name, detail)


def check_decisions(run: Run, names: Iterable[str]) -> Iterator[Finding]:
    """Check what people decided: whether a closed review has it, and nothing that is not there."""
    own = (name for name in names if content_of(name).kind == REVIEWS)
    decided = [name for name in own if "/review/decisions/" in name]
    closed = {number: _closed(run, number) for number in {content_of(n)[1] for n in decided}}
    for name in decided:
        try:
            storage.read_json(f"{run.uri}/{name}")
        except BROKEN as error:
            taken = closed[content_of(name).round_number]
            if taken is None or name.rpartition("/")[2] in taken:
                detail = f"holds no decision ({error}); what counted is in review/closed.json"
                yield Finding(REVIEWS, DAMAGED, name, detail)
                continue
        yield Finding(REVIEWS, OK, name)


def check_promotions(run: Run, weights: Mapping[int, str]) -> Iterator[Finding]:
    """Check that records of champions name detectors that are still those of this run.

    Args:
        run: the run.
        weights: round to the digest of its weights, of those rounds that have some.
    """
    root = run.uri.rpartition("/experiments/")[0]
    for name, record in _champions(root) if root else ():
        if record.get("run_uri") != run.uri:
            continue
        number = int(record["round"])
        try:
            found = exported_digest(run, number), weights.get(number, record["weights_digest"])
            is_right = found == (record["bundle_digest"], record["weights_digest"])
        except BROKEN:
            is_right = False
        detail = f"names another detector than that of round {number}; see: boxloop champion show"
        yield Finding(PROMOTION, *((OK, name) if is_right else (DAMAGED, name, detail)))


def what_to_do(run: Run, name: str) -> str:
    """Return what can be done about a file that is not as it was."""
    if not (number := content_of(name).round_number):
        again = f"boxloop report {run.uri}" if name.startswith("report/") else ""
        return "restore it from a backup" + (f", or: {again}" if again else "")
    return (
        "restore it from a backup, or do the round again: "
        f"boxloop rollback {run.uri} --round {number}"
    )


def missing(run: Run, name: str) -> Finding:
    """Return what is to be said of a file that is not there."""
    return Finding(content_of(name).kind, MISSING, name, what_to_do(run, name))


def _value_of_merge(run: Run, number: int) -> dict[str, Any]:
    return dict(storage.read_json(run.marker(number, ROUND_TASKS[-1]))["value"])


def _without_times(summary: dict[str, Any]) -> str:
    return json.dumps({k: v for k, v in summary.items() if k != "seconds"}, sort_keys=True)


def _closed(run: Run, number: int) -> set[str] | None:
    """Return the names of the decisions that a closed review took, None where it is open."""
    try:
        value = storage.read_json(run.closed_review(number))
        return {str(one["name"]) for one in value["decisions"]} | set(value["set_aside"])
    except BROKEN:
        return None


def _champions(root: str) -> Iterator[tuple[str, champion.Record]]:
    uris = storage.list_files(f"{root}/champions")
    for name in sorted({uri.split("/")[-2] for uri in uris}):
        for record in champion.history(root, name):
            yield Champions.of(root, name).record(record["number"]), record
