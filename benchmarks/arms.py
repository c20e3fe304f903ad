"""Whole runs by different oracles, at the same training steps: what adoption is worth.

    python benchmarks/arms.py configs/experiments/demo.yaml --root FOLDER [--seeds 1 2 3]
    python benchmarks/arms.py configs/experiments/playing_cards.yaml --root FOLDER --data FOLDER

Each arm runs all rounds, none stops early. Runs lie below --root and are not made twice, so the
command may be stopped and given again; a run takes ten minutes or so. Prints a line an arm and
seed: mAP@0.5 of the last round with its 95 % interval, its mean over the three classes with the
fewest boxes in the first round, what was adopted and stands in the end, how much of it is right,
and the share of the pool's objects that it covers. The pool must have true boxes.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.data.dataset import from_parquet, read_dataset
from boxloop.local_run import run_experiment
from boxloop.report.summary import agreements

ARMS: dict[str, Mapping[str, Any]] = {
    "study": {"oracle.mode": "study", "oracle.min_score": 0.25},
    "gated": {},
    "none": {"oracle.by": "none"},
    "gated_flat": {"oracle.target_precision": 0.01},
    "gated_firm": {"oracle.min_agreement": 0.7},
    "gated_rivals": {"oracle.rival_lead": 0.1},
    "gated_one": {"oracle.several": False},
    "gated_weights": {"oracle.score_weights": True},
    "gated_uncapped": {"oracle.class_cap": 0.0},
    "gated_hidden": {"oracle.hidden_share": 0.2},
}
RAREST = 3


def main() -> None:
    """Run what is missing, and print a line a run."""
    parser = argparse.ArgumentParser(description="Whole runs by different oracles.")
    parser.add_argument("experiment")
    parser.add_argument("--root", required=True, help="where the runs go")
    parser.add_argument("--data", help="data location, for an experiment file that names none")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--arms", nargs="+", choices=[*ARMS], default=["study", "gated", "none"])
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    for seed in options.seeds:
        for arm in options.arms:
            name = f"{Path(options.experiment).stem}-{arm}-{seed}"
            settings = {"data.uri": options.data, "seed": seed, "stop.adoption_rate": 0}
            run_experiment(
                options.experiment,
                root=options.root,
                experiment_id=name,
                overrides={**settings, **ARMS[arm]},
            )
            sys.stdout.write(f"{name}: {_line(Run.of(options.root, name))}\n")
            sys.stdout.flush()


def _line(run: Run) -> str:
    """Return the figures of a finished run in words."""
    last = max(number for number in range(1, 100) if storage.exists(run.summary(number)))
    summary, first = storage.read_json(run.summary(last)), storage.read_json(run.summary(1))
    before = {row["class_name"]: row["total"] - row["added"] for row in first["growth"]}
    rarest = sorted(before, key=lambda name: (before[name], name))[:RAREST]
    ap = summary["ap50_per_class"]
    known = [ap[name] for name in rarest if ap[name] is not None]
    low, high = summary["map50_interval"]
    return (
        f"mAP@0.5 {summary['map50']:.3f} [{low:.3f}, {high:.3f}], "
        f"rarest {sum(known) / len(known):.3f}, {_adopted(run, last)}"
    )


def _adopted(run: Run, last: int) -> str:
    """Say how many boxes stand in the end, how many are right, and how much they cover."""
    boxes = read_dataset(run.dataset(last + 1)).standing
    truth = from_parquet(storage.read_bytes(run.truth))
    if boxes.empty:
        return "nothing adopted"
    is_right = [right for right in agreements(boxes, truth) if right is not None]
    is_covered = [bool(covered) for covered in agreements(truth, boxes)]
    return (
        f"{len(boxes)} boxes in {boxes['image_id'].nunique()} images stand, "
        f"{sum(is_right) / len(is_right):.3f} of them right, "
        f"{sum(is_covered) / len(is_covered):.3f} of the objects"
    )


if __name__ == "__main__":
    main()
