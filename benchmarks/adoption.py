"""What each gate of the oracle does, replayed on the detections of finished runs.

    python benchmarks/adoption.py RUN [RUN ...]

RUN is the folder of a run whose pool has true boxes: the demo, or data with `boxed_share` below 1,
by `oracle.mode=gated` (the study's rule detects in a part of the pool only). Nothing is trained:
each round's detections are judged by each set of rules as if no box stood. Prints one line for each
set of rules, over all rounds and runs: boxes and images adopted, the share of boxes that are right
(IoU of 0.5 with a true box of the class), the share of images that adopt a right box, and last

    adoption    images adopted by the default rules over those by the study's (wanted: 0.85)
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Mapping

import pandas as pd

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.data.dataset import ADOPTED, Dataset, from_parquet, read_dataset
from boxloop.experiment import read_experiment
from boxloop.judging import read_detections
from boxloop.ledger import shard_values
from boxloop.oracle.pool import Part, calibrate_oracle, judge_pool
from boxloop.oracle_settings import STUDY, OracleConfig
from boxloop.report.summary import agreements

STUDY_RULE, DEFAULT = "study", "gated"


def arms(config: OracleConfig) -> Mapping[str, OracleConfig]:
    """Return the sets of rules by name: the default, and it with a part changed."""
    gated = dataclasses.replace(config, mode="gated", by="labels")
    firm = {
        f"gated, box firm by {iou}": dataclasses.replace(gated, min_agreement=iou)
        for iou in (0.5, 0.6, 0.7, 0.8)
    }
    return {
        STUDY_RULE: dataclasses.replace(config, mode=STUDY, by="labels"),
        DEFAULT: gated,
        "gated, one score for all": dataclasses.replace(gated, target_precision=0.01),
        "gated, rivals refused from 0.0 on": dataclasses.replace(gated, rival_lead=0.0),
        "gated, rivals refused from 0.1 on": dataclasses.replace(gated, rival_lead=0.1),
        "gated, rivals refused from 0.2 on": dataclasses.replace(gated, rival_lead=0.2),
        "gated, rivals refused from 0.4 on": dataclasses.replace(gated, rival_lead=0.4),
        "gated, one box an image": dataclasses.replace(gated, several=False),
        "gated, scores from 0.1 on": dataclasses.replace(gated, min_score=0.1),
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
    ratio = sums["images"][DEFAULT] / max(1, sums["images"][STUDY_RULE])
    sys.stdout.write(f"adoption ratio={ratio:.2f}\n")


def _replay(run: Run) -> Iterator[dict[str, object]]:
    config = read_experiment(run.experiment).oracle
    truth = from_parquet(storage.read_bytes(run.truth))
    first = read_dataset(run.dataset(1))
    number = 1
    while storage.exists(run.summary(number)):
        uris = [uri for shard in shard_values(run.uri, number) for uri in shard["detections_uris"]]
        part = Part(read_detections(uris), first.candidates)
        validation = from_parquet(storage.read_bytes(run.validation_detections(number)))
        for name, rules in arms(config).items():
            yield {"rules": name, **_judge(part, validation, first, rules, truth)}
        number += 1


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
