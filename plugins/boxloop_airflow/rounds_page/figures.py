"""What the finished rounds came to: the growth table, and charts; read once for each round."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import pandas as pd

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.experiment import read_experiment
from boxloop.oracle.stopping import reason_to_stop
from boxloop.ordered import map_ordered
from boxloop.report import charts
from boxloop.report.growth_section import build_growth_facts
from boxloop.report.summary import RoundFacts
from boxloop.settings import Experiment
from boxloop_airflow.rounds_page.kept import kept
from boxloop_airflow.rounds_page.matrix import GROUP, Instance

log = logging.getLogger(__name__)

SETTINGS_SECONDS = 30.0
"""How long the digest of a run's settings is kept: each viewer's page asks every 3 s."""
THREADS = 8  # a bucket takes a tenth of a second for each file
Ends = tuple[str, str]
"""When `evaluate` and `merge` of a round ended: what they left is read anew if that changes."""
Facts = dict[str, Any]


def round_ends(instances: Sequence[Instance], rounds: int) -> tuple[Ends, ...]:
    """Return when the rounds were evaluated and closed, up to the first that was not evaluated."""
    ends = {
        (each.name, each.map_index): str(each.end_date)
        for each in instances
        if each.task_id in (f"{GROUP}evaluate", f"{GROUP}merge") and each.state == "success"
    }
    found = [(ends.get(("evaluate", i), ""), ends.get(("merge", i), "")) for i in range(rounds)]
    return tuple(found[: next((i for i, (first, _) in enumerate(found) if not first), rounds)])


def stamp(*key: Any) -> str:
    """Return what tells figures from others: a digest of the arguments of `figures`."""
    return hashlib.sha256(repr(key).encode()).hexdigest()[:16]


@kept(math.inf, most=32)
def figures(run: Run, ends: tuple[Ends, ...], planned: int, settings: str) -> dict[str, Any]:
    """Return what the evaluated rounds of a run came to.

    Args:
        run: the run.
        ends: of its rounds.
        planned: how many rounds there are to be.
        settings: digest of the run's settings, with which the reason to stop may change.

    Returns:
        rounds: number, map50, interval, training images, adopted, withdrawn and reviewed of each;
        charts: SVG by name; classes: name, chart, first and last AP of each; growth: the growth
        table; stop: why there are no more rounds, if there are none.

    Raises:
        Exception: of whatever kind, where an artifact cannot be read or holds something else.
    """
    read = map_ordered(
        lambda item: _read_round(run, *item),
        [(number, *each) for number, each in enumerate(ends, 1)],
        threads=THREADS,
        limit=2 * THREADS,
    )
    rounds = [each for each in read if each is not None]
    summaries = [each["summary"] for each in rounds if each["summary"]]
    return {
        "rounds": [_round_row(each) for each in rounds],
        "charts": _charts(rounds),
        "classes": _classes(rounds),
        "growth": _growth(summaries),
        "stop": _stop(run, summaries) if len(summaries) < planned else None,
    }


def read_settings(run: Run) -> Experiment | None:
    """Return a run's settings, None where they cannot be read."""
    try:
        return _parse_settings(run, settings_digest(run))
    except (FileNotFoundError, ValueError) as error:
        log.warning("The settings of %s cannot be read: %s", run.uri, error)
        return None


@kept(SETTINGS_SECONDS)
def settings_digest(run: Run) -> str:
    """Return what tells the settings of a run from others, "" where it has none."""
    return storage.digest(run.experiment) if storage.exists(run.experiment) else ""


@lru_cache(maxsize=256)
def _parse_settings(run: Run, digest: str) -> Experiment:
    return read_experiment(run.experiment)


@lru_cache(maxsize=2048)
def _read_round(run: Run, number: int, evaluated: str, merged: str) -> Facts | None:
    """Return evaluation and summary of a round; None where it has been undone since."""
    marker = _read(run.marker(number, "evaluate"))
    if not isinstance(marker.get("value"), dict):
        return None
    summary = _read(run.summary(number)) if merged else {}
    return {"number": number, "evaluation": marker["value"], "summary": summary}


def _read(uri: str) -> Facts:
    """Return a file's content, {} where there is none; or raise what names the file."""
    if not storage.exists(uri):
        return {}
    try:  # NaN and 1e999 are no JSON
        found = json.loads(
            storage.read_bytes(uri), parse_constant=lambda _: None, parse_float=_number
        )
    except ValueError as error:
        raise ValueError(f"{uri} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{uri} holds no object")
    return found


def _number(text: str) -> float | None:
    return value if math.isfinite(value := float(text)) else None


def _round_row(facts: Facts) -> Facts:
    summary, evaluation = facts["summary"], facts["evaluation"]
    return {
        "number": facts["number"],
        "map50": evaluation.get("map50"),
        "interval": evaluation.get("map50_interval"),
        "images": summary.get("training_images"),
        "adopted": summary.get("adopted"),
        "withdrawn": summary.get("withdrawn"),
        "reviewed": summary.get("reviewed"),
    }


def _charts(rounds: Sequence[Facts]) -> dict[str, str]:
    if not rounds:
        return {}
    evaluations = [each["evaluation"] for each in rounds]
    drawn = {
        "map50": charts.line_chart(
            [each.get("map50") for each in evaluations],
            title="mAP@0.5 by round, with its 95 % interval",
            intervals=[each.get("map50_interval") for each in evaluations],
        )
    }
    images = [each["summary"]["training_images"] for each in rounds if each["summary"]]
    if images:
        layers = {
            "boxed at the start": [images[0]] * len(images),
            "boxed since": [count - images[0] for count in images],
        }
        drawn["images"] = charts.stacked_bars(layers, title="Training images by round")
    return drawn


def _classes(rounds: Sequence[Facts]) -> list[Facts]:
    evaluations = [each["evaluation"] for each in rounds]
    means = [each.get("map50") for each in evaluations]
    by_round: list[Mapping[str, float | None]] = [
        each.get("ap50_per_class") or {} for each in evaluations
    ]
    rows = []
    for name in sorted({name for each in by_round for name in each}):
        values = [each.get(name) for each in by_round]
        chart = charts.small_line_chart(values, means, title=f"AP@0.5 of {name}")
        rows.append({"name": name, "chart": chart, "first": values[0], "last": values[-1]})
    return rows


def _growth(summaries: Sequence[Facts]) -> Facts | None:
    none = pd.DataFrame()
    rounds = [
        RoundFacts(summary=each, evaluation={}, adoptions=none, timings={}, training_boxes={})
        for each in summaries
    ]
    found = build_growth_facts(rounds)
    return dataclasses.asdict(found) if found else None


def _stop(run: Run, summaries: Sequence[Facts]) -> str | None:
    experiment = read_settings(run)
    if experiment is None:
        return None
    return reason_to_stop(summaries, experiment.stop, by=experiment.oracle.by)
