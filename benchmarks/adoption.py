"""What each gate of the oracle does, replayed on the detections of finished runs.

    python benchmarks/adoption.py RUN [RUN ...]

RUN is the folder of a run whose pool has true boxes: the demo, or data with `boxed_share` below 1,
by `oracle.mode=gated` (the study's rule detects in a part of the pool only). Nothing is trained:
each round's detections are judged by each set of rules as if no box stood. Prints one line for each
set of rules, over all rounds and runs: boxes and images adopted, the share of boxes that are right
(IoU of 0.5 with a true box of the class), the share of images that adopt a right box. Then how well
score, lead and firmness tell right from wrong, of the best box of the label's class in each image:
the area under the ROC curve, 0.5 is a guess. Then each round's precision by the default rules, as
rehearsed on validation images and as it was. And last

    adoption    images adopted by the default rules over those by the study's from a score of 0.25
                on (wanted: 0.85)
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Mapping

import pandas as pd
from scipy.stats import mannwhitneyu

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.data.dataset import ADOPTED, Dataset, from_parquet, read_dataset
from boxloop.experiment import read_experiment
from boxloop.judging import read_detections
from boxloop.ledger import task_value
from boxloop.oracle.gates import find_leads, rank
from boxloop.oracle.pool import Part, calibrate_oracle, judge_pool
from boxloop.oracle.rehearsal import rehearse
from boxloop.oracle_settings import STUDY, OracleConfig
from boxloop.report.summary import agreements

STUDY_RULE, DEFAULT = "study, score from 0.25 on", "gated"
LOWEST = 0.1  # score


def arms(config: OracleConfig) -> Mapping[str, OracleConfig]:
    """Return the sets of rules by name: the default, and it with a part changed."""
    gated = dataclasses.replace(config, mode="gated", by="labels", class_cap=0.0)
    firm = {
        f"gated, box firm by {iou}": dataclasses.replace(gated, min_agreement=iou)
        for iou in (0.5, 0.6, 0.7, 0.8)
    }
    return {
        STUDY_RULE: dataclasses.replace(config, mode=STUDY, by="labels", min_score=0.25),
        "study, from 0.1 on": dataclasses.replace(config, mode=STUDY, by="labels", min_score=0.1),
        DEFAULT: gated,
        "gated, any lead": dataclasses.replace(gated, target_precision=0.01),
        "gated, rivals 0.0 ahead refused": dataclasses.replace(gated, rival_lead=0.0),
        "gated, rivals 0.1 ahead refused": dataclasses.replace(gated, rival_lead=0.1),
        "gated, rivals 0.2 ahead refused": dataclasses.replace(gated, rival_lead=0.2),
        "gated, rivals 0.4 ahead refused": dataclasses.replace(gated, rival_lead=0.4),
        "gated, one box an image": dataclasses.replace(gated, several=False),
        "gated, score from 0.25 on": dataclasses.replace(gated, min_score=0.25),
        "gated, target 0.9": dataclasses.replace(gated, target_precision=0.9),
        "gated, target 0.98": dataclasses.replace(gated, target_precision=0.98),
        **(firm if config.min_agreement > 0 else {}),
    }


def main() -> None:
    """Replay every round of every run by every set of rules."""
    parser = argparse.ArgumentParser(description="What each gate of the oracle does.")
    parser.add_argument("runs", nargs="+", metavar="RUN")
    options = parser.parse_args()
    replayed = pd.DataFrame([row for uri in options.runs for row in _replay(Run(uri.rstrip("/")))])
    sums = replayed.groupby("rules", sort=False).sum()
    shown = sums.assign(
        precision=sums["right"] / sums["known"], recall=sums["right_images"] / sums["pool"]
    )
    columns = ["boxes", "images", "precision", "recall"]
    sys.stdout.write(shown[columns].to_string(float_format="{:.3f}".format) + "\n")
    best = pd.concat([table for uri in options.runs for table in _best(Run(uri.rstrip("/")))])
    areas = {name: _area(best, name) for name in ("score", "lead", "agreement")}
    sys.stdout.write(f"area under the curve, {len(best)} boxes: {areas}\n")
    for uri in options.runs:
        _tell_rehearsals(Run(uri.rstrip("/")))
    ratio = sums["images"][DEFAULT] / max(1, sums["images"][STUDY_RULE])
    sys.stdout.write(f"adoption ratio={ratio:.2f}\n")


def _rounds(run: Run) -> Iterator[tuple[int, Part]]:
    """Give the finished rounds with their detections in the pool."""
    images, number = read_dataset(run.dataset(1)).candidates, 1
    while storage.exists(run.summary(number)):
        uris = task_value("predict", run.uri, number)["detections_uris"]
        yield number, Part(read_detections(uris), images)
        number += 1


def _best(run: Run) -> Iterator[pd.DataFrame]:
    """Give the best box of each image's label that scores 0.1, and whether it is right."""
    truth = from_parquet(storage.read_bytes(run.truth))
    for _, part in _rounds(run):
        ranked = rank(part.detections)
        ranked["lead"] = find_leads(ranked)
        own = ranked.merge(part.images[["image_id", "image_label"]], on="image_id")
        own = own[(own["class_name"] == own["image_label"]) & (own["score"] >= LOWEST)]
        best = own.drop_duplicates("image_id").reset_index(drop=True)
        is_right = pd.Series(agreements(best, truth), dtype=object)
        yield best.assign(is_right=is_right).dropna(subset="is_right")


def _area(best: pd.DataFrame, name: str) -> float | None:
    """Return the chance that a right box has more of something than a wrong one has."""
    is_right, values = best["is_right"].astype(bool), best[name]
    if values.isna().any() or is_right.all():
        return None
    wins = mannwhitneyu(values[is_right], values[~is_right]).statistic
    return round(float(wins / (is_right.sum() * (~is_right).sum())), 3)


def _tell_rehearsals(run: Run) -> None:
    """Print each round's precision, the mean over the classes, as rehearsed and as it was."""
    config = arms(read_experiment(run.experiment).oracle)[DEFAULT]
    truth, first = from_parquet(storage.read_bytes(run.truth)), read_dataset(run.dataset(1))
    for number, part in _rounds(run):
        validation = from_parquet(storage.read_bytes(run.validation_detections(number)))
        rehearsed = pd.DataFrame(rehearse(validation, first, config)).T["precision"].astype(float)
        table = judge_pool([part], first, config, calibrate_oracle(validation, first, config)).table
        adopted = table[table["verdict"] == ADOPTED].reset_index(drop=True)
        is_right = pd.Series(agreements(adopted, truth), dtype="boolean").dropna().astype(float)
        real = is_right.groupby(adopted["class_name"]).mean().mean()
        sys.stdout.write(
            f"{run.uri} round {number}: rehearsed {rehearsed.mean():.3f}, real {real:.3f}\n"
        )


def _replay(run: Run) -> Iterator[dict[str, object]]:
    config = read_experiment(run.experiment).oracle
    truth = from_parquet(storage.read_bytes(run.truth))
    first = read_dataset(run.dataset(1))
    for number, part in _rounds(run):
        validation = from_parquet(storage.read_bytes(run.validation_detections(number)))
        for name, rules in arms(config).items():
            yield {"rules": name, **_judge(part, validation, first, rules, truth)}


def _judge(
    part: Part,
    validation: pd.DataFrame,
    dataset: Dataset,
    config: OracleConfig,
    truth: pd.DataFrame,
) -> dict[str, int]:
    calibration = calibrate_oracle(validation, dataset, config)
    table = judge_pool([part], dataset, config, calibration).table
    adopted = table[table["verdict"] == ADOPTED].reset_index(drop=True)
    is_right = pd.Series(agreements(adopted, truth), dtype=object)
    return {
        "pool": len(part.images),
        "boxes": len(adopted),
        "images": adopted["image_id"].nunique(),
        "known": int(is_right.notna().sum()),
        "right": int((is_right == True).sum()),  # noqa: E712 (null where no truth is known)
        "right_images": adopted.loc[is_right == True, "image_id"].nunique(),  # noqa: E712
    }


if __name__ == "__main__":
    main()
