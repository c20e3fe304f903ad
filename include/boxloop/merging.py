"""The step that closes a round: the next dataset version, and what the round came to."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.experiment import read_experiment
from boxloop.ledger import Value, parent_digest, task_value
from boxloop.timings import round_seconds

if TYPE_CHECKING:
    import pandas as pd

    from boxloop.data.dataset import Dataset

log = logging.getLogger(__name__)

METRICS = ("map50", "map50_interval", "map50_change_interval", "map", "ap50_per_class")


def merge(run: Run, round_number: int) -> Value:
    """Write the next dataset version, and last the summary that closes the round.

    Two that merge the same round at once write the same: the first to close the review decides
    which decisions count.
    """
    from boxloop.data.dataset import read_dataset, write_dataset
    from boxloop.oracle.growth_text import growth_text

    experiment, dataset = read_experiment(run.experiment), read_dataset(run.dataset(round_number))
    people = _hear_people(run, round_number)
    merged = _next_version(run, round_number, dataset, people)
    write_dataset(run.dataset(round_number + 1), merged)
    metrics = task_value("evaluate", run.uri, round_number)
    summary = {
        "round": round_number,
        "model": experiment.model.name,
        "parent_digest": parent_digest(run, round_number),
        "training_images": len(dataset.training_images),
        **task_value("match_labels", run.uri, round_number),
        **people.counts,
        **{name: metrics.get(name) for name in METRICS},
        "seconds": round_seconds(run, round_number),
        **_grown(run, round_number, dataset, merged),
    }
    storage.write_json(run.summary(round_number), summary)
    earlier = [storage.read_json(run.summary(number)) for number in range(1, round_number)]
    log.info("The data set has grown:\n%s", growth_text([*earlier, summary]))
    return summary


class People(NamedTuple):
    """What people said in a round."""

    reviewed: pd.DataFrame
    """Boxes that they gave, with BOX_COLUMNS."""
    refused: pd.DataFrame
    """Boxes that they refused, with REFUSED_COLUMNS."""
    whole: Sequence[str]
    """Images of which they gave all boxes, or said that there are none."""
    counts: Value
    """For the summary."""


def _hear_people(run: Run, round_number: int) -> People:
    """Close the review of the round, and return what counts of it; nothing where nobody asked."""
    from boxloop import review
    from boxloop.data.dataset import BOX_COLUMNS, REFUSED_COLUMNS, build_table, from_parquet
    from boxloop.oracle.decisions import CORRECT, refused_boxes, reviewed_boxes

    nothing = {"reviewed": 0, "refused": 0, "human_seconds": 0.0, "decisions_set_aside": {}}
    if not task_value("match_labels", run.uri, round_number)["review_items"]:
        tables = build_table([], BOX_COLUMNS), build_table([], REFUSED_COLUMNS)
        return People(*tables, (), nothing)
    decisions, told = review.close(run, round_number), review.progress(run, round_number)
    queue = from_parquet(storage.read_bytes(run.queue(round_number)))
    reviewed = reviewed_boxes(decisions, round_number)
    refused = refused_boxes(decisions, queue)
    counts = {
        "reviewed": len(reviewed),
        "refused": len(refused),
        "human_seconds": told["seconds"],
        "decisions_set_aside": told["set_aside"],
    }
    nothing_there = refused.loc[refused["class_name"].isna(), "image_id"]
    whole = [one.image_id for one in decisions if one.action == CORRECT]
    return People(reviewed, refused, [*whole, *nothing_there], counts)


def _next_version(run: Run, round_number: int, dataset: Dataset, people: People) -> Dataset:
    """Return the next dataset: what the oracle proposed, but where people said otherwise."""
    import pandas as pd

    from boxloop.data.dataset import DOUBTFUL, XYXY, from_parquet, is_in
    from boxloop.oracle.adoptions import without_overlaps

    proposed = from_parquet(storage.read_bytes(run.proposed_boxes(round_number)))
    proposed = proposed[~proposed["image_id"].isin(people.whole)]
    said = [table[["image_id", *XYXY]].dropna() for table in (people.reviewed, people.refused)]
    proposed = without_overlaps(proposed, pd.concat(said, ignore_index=True))
    # what is doubtful lies beside a box: an image in which none is left is not trained on
    sure = proposed.loc[proposed["origin"] != DOUBTFUL, "image_id"]
    boxed = pd.concat([sure, people.reviewed["image_id"]])
    proposed = proposed[is_in(proposed["image_id"], boxed)]
    return dataset.next_version(proposed, people.reviewed, people.refused)


def _grown(run: Run, round_number: int, dataset: Dataset, merged: Dataset) -> dict[str, Any]:
    """Return what the round did to the classes, and whether it found what the one before found."""
    from boxloop.data.dataset import from_parquet
    from boxloop.oracle.growth import agreement, class_mix, growth_rows
    from boxloop.oracle.rehearsal import rehearse

    adoptions, truth = (
        from_parquet(storage.read_bytes(uri)) for uri in (run.adoptions(round_number), run.truth)
    )
    earlier = run.adoptions(round_number - 1)
    previous = from_parquet(storage.read_bytes(earlier)) if round_number > 1 else None
    before, after = (version.boxes_in(version.training_images) for version in (dataset, merged))
    growth = growth_rows(before, after, adoptions, truth, dataset.class_names)
    if truth.empty:
        config = read_experiment(run.experiment).oracle
        validation = from_parquet(storage.read_bytes(run.validation_detections(round_number)))
        rehearsed = rehearse(validation, dataset, config)
        growth = [row | rehearsed[row["class_name"]] for row in growth]
    return {
        "measured_on": "validation" if truth.empty else "pool",
        "agreement": agreement(adoptions, previous),
        "growth": growth,
        "class_mix": class_mix({row["class_name"]: row["total"] for row in growth}),
    }
