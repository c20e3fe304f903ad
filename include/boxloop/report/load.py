"""Read what a run left behind and write its report: the only part that touches storage."""

from __future__ import annotations

import csv
import io
import logging
from typing import Any

import pandas as pd

from boxloop import collected, storage
from boxloop.artifacts import Run
from boxloop.borders import plain_text
from boxloop.data.dataset import (
    DETECTION_COLUMNS,
    DOUBTFUL,
    Dataset,
    build_table,
    from_parquet,
    is_in,
    read_dataset,
)
from boxloop.experiment import read_experiment
from boxloop.ledger import task_value, why_stopped
from boxloop.report.growth_section import score_that_counts
from boxloop.report.page import RunFacts, build_page
from boxloop.report.summary import RoundFacts, build_summary, check_chain
from boxloop.report.times import run_lines, run_times

log = logging.getLogger(__name__)


def write_report(run_uri: str) -> dict[str, Any]:
    """Write report/index.html and report/summary.json of a run, over its finished rounds.

    Returns:
        `report_uri`, `summary_uri`, and `rounds`, the number of finished rounds.

    Raises:
        ValueError: if no round is finished, or a round was built on an older one.
    """
    run = Run(run_uri.rstrip("/"))
    facts = load_facts(run)
    summary = build_summary(
        facts.experiment_id,
        facts.experiment.model.name,
        facts.rounds,
        truth=facts.truth,
        planned_rounds=facts.experiment.rounds,
        stop=facts.stop,
    )
    summary["times"] = run_times(facts.rounds)
    page = build_page(facts, summary, storage.read_bytes)
    storage.write_bytes(run.report, page.encode())
    storage.write_json(run.report_summary, summary)
    for line in run_lines(summary):
        log.info("%s", line)
    return {
        "report_uri": run.report,
        "summary_uri": run.report_summary,
        "rounds": len(facts.rounds),
    }


def load_facts(run: Run) -> RunFacts:
    """Read the finished rounds of a run: those from round 1 up to the first without a summary.

    Raises:
        ValueError: if no round is finished, or a round was built on an older one.
        FileNotFoundError: if a finished round lacks one of its files.
    """
    experiment = read_experiment(run.experiment)
    num_rounds = _count_finished(run, experiment.rounds)
    rounds = []
    for number in range(1, num_rounds + 1):
        dataset = read_dataset(run.dataset(number))
        rounds.append(_load_round(run, number, dataset))
    digests = [storage.digest(run.summary(facts.round_number)) for facts in rounds]
    check_chain([facts.summary for facts in rounds], digests)
    return RunFacts(
        experiment_id=run.uri.rpartition("/")[2],
        experiment=experiment,
        settings=storage.read_bytes(run.experiment).decode(),
        rounds=rounds,
        truth=read_table(run.truth),
        image_uris=dict(zip(dataset.images["image_id"], dataset.images["uri"], strict=True)),
        dataset=dataset,
        set_aside=_read_set_aside(run),
        stop=why_stopped(run, num_rounds) if num_rounds < experiment.rounds else None,
        next_dataset=_read_next(run, num_rounds),
        pool_detections=_read_pool_detections(
            run, num_rounds, score_that_counts(rounds[-1].evaluation)
        ),
        collected=collected.in_words(run, num_rounds),
        decision=storage.read_json(run.decision) if storage.exists(run.decision) else None,
    )


def _count_finished(run: Run, planned_rounds: int) -> int:
    for number in range(1, planned_rounds + 1):
        if not storage.exists(run.summary(number)):
            if number == 1:
                raise ValueError(f"{run.summary(1)} is missing: no round is finished yet")
            return number - 1
    return planned_rounds


def _read_next(run: Run, num_rounds: int) -> Dataset | None:
    """Return what the last round left to train on."""
    uri = run.dataset(num_rounds + 1)
    return read_dataset(uri) if storage.exists(f"{uri}/boxes.parquet") else None


def _read_pool_detections(run: Run, number: int, min_score: float) -> pd.DataFrame | None:
    """Return what a round detected in the pool, None where that was not kept whole.

    Part by part, for most of it are detections of a low score, and a pool may be large.
    """
    tables = []
    try:
        for uri in task_value("predict", run.uri, number)["detections_uris"]:
            table = from_parquet(storage.read_bytes(uri))
            tables.append(table[table["score"] >= min_score])
    except (FileNotFoundError, ValueError):
        return None
    return pd.concat([build_table([], DETECTION_COLUMNS), *tables], ignore_index=True)


def _load_round(run: Run, number: int, dataset: Dataset) -> RoundFacts:
    return RoundFacts(
        summary=storage.read_json(run.summary(number)),
        evaluation=storage.read_json(run.evaluation(number)),
        adoptions=from_parquet(storage.read_bytes(run.adoptions(number))),
        timings=_read_timings(run, number),
        training_boxes=_count_training_boxes(dataset),
        losses=read_losses(run, number),
        evaluated_images=read_table(run.evaluated_images(number)),
        evaluated_detections=read_table(run.evaluated_detections(number)),
    )


def read_losses(run: Run, number: int) -> list[tuple[float, float]]:
    """Return steps and losses of a round's training, none where it did not leave any."""
    uri = run.marker(number, "train")
    value = storage.read_json(uri)["value"] if storage.exists(uri) else {}
    return [(step, loss) for step, loss in value.get("loss_curve", [])]


def read_table(uri: str) -> pd.DataFrame | None:
    """Return a table, or None where there is no such file."""
    return from_parquet(storage.read_bytes(uri)) if storage.exists(uri) else None


def _read_timings(run: Run, number: int) -> dict[str, dict[str, float]]:
    folder = run.timing(number, "*").rpartition("/")[0]
    uris = [uri for uri in storage.list_files(folder) if uri.endswith(".json")]
    return {uri.rpartition("/")[2].removesuffix(".json"): storage.read_json(uri) for uri in uris}


def _count_training_boxes(dataset: Dataset) -> dict[str, int]:
    boxes = dataset.boxes
    is_trained = is_in(boxes["image_id"], dataset.training_images["image_id"])
    counts = boxes.loc[is_trained & (boxes["origin"] != DOUBTFUL), "class_name"].value_counts()
    return {str(name): int(count) for name, count in counts.items()}


def _read_set_aside(run: Run) -> list[tuple[str, str]]:
    if not storage.exists(run.set_aside):
        return []
    rows = csv.DictReader(io.StringIO(storage.read_bytes(run.set_aside).decode(), newline=""))
    return [(plain_text(row["path"]), plain_text(row["reason"])) for row in rows]
