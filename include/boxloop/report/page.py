"""The page of a run for people: one HTML file that needs nothing else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from boxloop.data.dataset import Dataset
from boxloop.oracle.adoptions import REJECTED
from boxloop.oracle.growth import verdicts
from boxloop.oracle_settings import BOTH, HUMAN, NOBODY
from boxloop.report import charts
from boxloop.report.data_page import build_data_facts
from boxloop.report.environment import environment
from boxloop.report.evaluation_section import (
    COCO_FIGURES,
    ERROR_KINDS,
    build_evaluation_facts,
)
from boxloop.report.examples import Example, ReadImage, build_example, choose
from boxloop.report.growth_section import boxes_to_look_at, build_growth_facts
from boxloop.report.pictures import Shower
from boxloop.report.rounds_section import effects_by_class, lost_examples, turns_by_round
from boxloop.report.summary import RoundFacts, adopted_now, adoption_precision, agreements
from boxloop.report.times import (
    phases_by_round,
    start_time,
    time_rows,
    total_row,
    worked_seconds,
)
from boxloop.settings import Experiment

JUDGED = {
    HUMAN: "that people confirm or draw",
    BOTH: "that agree with the label of their image, or that people confirm or draw",
}
ADOPTED_EXAMPLES = 6  # a round
REJECTED_EXAMPLES = 12  # of the last round
LISTED_FILES = 50
SMALL_TEST_SPLIT = 1000  # images; below it the page says how much of a difference is noise


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Everything that the report says something about."""

    experiment_id: str
    experiment: Experiment
    settings: str
    """The run's experiment.yaml."""
    rounds: Sequence[RoundFacts]
    """The finished rounds, from round 1; at least one."""
    truth: pd.DataFrame | None
    """True boxes of pool images, or None where none are known."""
    image_uris: Mapping[str, str]
    """Image id to URI."""
    dataset: Dataset
    """What the last finished round began with."""
    set_aside: Sequence[tuple[str, str]]
    """Path and reason of input that could not be used."""
    stop: str | None = None
    """Why no round follows on the last one, before all are done."""
    next_dataset: Dataset | None = None
    """What the last finished round left to train on."""
    pool_detections: pd.DataFrame | None = None
    """What the last finished round detected in the pool."""
    collected: Sequence[str] = ()
    """What `boxloop gc` has removed of the rounds, and when, in words."""
    decision: Mapping[str, Any] | None = None
    """Whether the last detector became the champion, where that was asked."""


def build_page(facts: RunFacts, summary: Mapping[str, Any], read_image: ReadImage) -> str:
    """Return the report of a run as HTML.

    Args:
        facts: the finished rounds and what is known of their data.
        summary: the result of `build_summary` for the same facts.
        read_image: gives an image's bytes by its URI; only the images shown are read, and one
            that cannot be read leaves an empty place.
    """
    template = environment().get_template("template.html.j2")
    times, classes = time_rows(facts.rounds), _class_rows(facts.rounds)
    turns = turns_by_round(facts.rounds)
    shower = Shower(facts.image_uris, read_image)
    return template.render(
        facts=facts,
        summary=summary,
        rounds=summary["rounds"],
        known_precision=_known_precision(facts),
        first=facts.rounds[0],
        last=facts.rounds[-1],
        judged=JUDGED.get(facts.experiment.oracle.by, "that agree with the label of their image"),
        is_control=facts.experiment.oracle.by == NOBODY,
        started=start_time(facts.rounds),
        charts=_charts(facts.rounds, summary, times),
        classes=classes,
        effects=effects_by_class(facts.rounds, [row["name"] for row in classes]),
        growth=build_growth_facts(facts.rounds),
        known_truth=0 if facts.truth is None else int(facts.truth["image_id"].nunique()),
        looks=boxes_to_look_at(
            facts.next_dataset, facts.pool_detections, facts.rounds[-1].evaluation, shower
        ),
        turns=turns,
        lost=lost_examples(facts.rounds, turns, facts.dataset, shower),
        evaluation=build_evaluation_facts(facts.rounds, facts.dataset, shower),
        error_kinds=ERROR_KINDS,
        coco_figures=COCO_FIGURES,
        adopted_examples=ADOPTED_EXAMPLES,
        adopted=[(f.round_number, _adopted_examples(facts, f, read_image)) for f in facts.rounds],
        rejected=_rejected_examples(facts, read_image),
        reasons=_rejection_rows(facts.rounds),
        set_aside_counts=Counter(reason for _, reason in facts.set_aside).most_common(),
        listed_files=LISTED_FILES,
        data=build_data_facts(facts.dataset, read_image),
        unreadable=sorted({i for f in facts.rounds for i in f.summary["unreadable"]}),
        times=times,
        total_times=total_row(times),
        worked=worked_seconds(summary["times"]),
        noise_points=_noise_points(facts.rounds[-1].evaluation["images"]),
    )


def _known_precision(facts: RunFacts) -> float | None:
    """Return the adoption precision over all rounds, None where no truth is known."""
    adoptions = pd.concat([adopted_now(round_facts.adoptions) for round_facts in facts.rounds])
    return adoption_precision(adoptions, facts.truth)


def _charts(
    rounds: Sequence[RoundFacts], summary: Mapping[str, Any], times: Sequence[dict[str, Any]]
) -> dict[str, Markup]:
    intervals = [facts.evaluation.get("map50_interval") for facts in rounds]
    map50 = [entry["map50"] for entry in summary["rounds"]]
    images = [entry["training_images"] for entry in summary["rounds"]]
    growth = {
        "boxed at the start": [images[0]] * len(images),
        "boxed since": [count - images[0] for count in images],
    }
    unit, phases = phases_by_round(times)
    drawn = {
        "map50": charts.line_chart(map50, title="mAP@0.5 by round", intervals=intervals),
        "growth": charts.stacked_bars(growth, title="Training images by round"),
        "time": charts.stacked_bars(phases, title=f"{unit.capitalize()} by round"),
    }
    if any(facts.losses for facts in rounds):
        losses = [facts.losses for facts in rounds]
        drawn["loss"] = charts.loss_chart(losses, title="Training loss by round")
    return {"unit": Markup(unit), **{name: Markup(svg) for name, svg in drawn.items()}}


def _class_rows(rounds: Sequence[RoundFacts]) -> list[dict[str, Any]]:
    """Return one row per class, from the one with most boxes in round 1 to the rarest."""
    first, last = rounds[0], rounds[-1]
    names = {name for facts in rounds for name in facts.summary["ap50_per_class"]}
    means = [facts.summary["map50"] for facts in rounds]
    intervals = last.evaluation.get("ap50_intervals", {})
    rows = []
    for name in sorted(names, key=lambda name: (-first.training_boxes.get(name, 0), name)):
        values = [facts.summary["ap50_per_class"].get(name) for facts in rounds]
        is_known = values[0] is not None and values[-1] is not None
        rows.append(
            {
                "name": name,
                "chart": Markup(charts.small_line_chart(values, means, title=f"AP@0.5 of {name}")),
                "first": values[0],
                "last": values[-1],
                "interval": intervals.get(name),
                "has_few_images": values[-1] is not None and intervals.get(name, ()) is None,
                "change": values[-1] - values[0] if is_known else None,
                "boxes_first": first.training_boxes.get(name, 0),
                "boxes_last": last.training_boxes.get(name, 0),
            }
        )
    return rows


def _adopted_examples(facts: RunFacts, round_facts: RoundFacts, read: ReadImage) -> list[Example]:
    rows = choose(adopted_now(round_facts.adoptions), "class_name", ADOPTED_EXAMPLES)
    return _build_examples(facts, rows, agreements(rows, facts.truth), read)


def _rejected_examples(facts: RunFacts, read: ReadImage) -> list[Example]:
    adoptions = facts.rounds[-1].adoptions
    rows = choose(adoptions[verdicts(adoptions) == REJECTED], "reason", REJECTED_EXAMPLES)
    return _build_examples(facts, rows, [None] * len(rows), read)


def _build_examples(
    facts: RunFacts, rows: pd.DataFrame, are_right: Sequence[bool | None], read: ReadImage
) -> list[Example]:
    return [
        build_example(row, is_right=is_right, uri=facts.image_uris[row["image_id"]], read=read)
        for row, is_right in zip(rows.to_dict("records"), are_right, strict=True)
    ]


def _rejection_rows(rounds: Sequence[RoundFacts]) -> list[tuple[str, list[int]]]:
    """Return every reason with its count by round, the most frequent of the last round first."""
    names = {reason for facts in rounds for reason in facts.summary["rejected"]}
    rows = [(name, [facts.summary["rejected"].get(name, 0) for facts in rounds]) for name in names]
    return sorted(rows, key=lambda row: (-row[1][-1], row[0]))


def _noise_points(num_images: int) -> int | None:
    """Return how many points of mAP are noise on a small test split, by a rule of thumb.

    One standard error of a share of one half, measured on as many independent images.
    """
    if not 0 < num_images < SMALL_TEST_SPLIT:
        return None
    return math.ceil(100 * 0.5 / math.sqrt(num_images))
