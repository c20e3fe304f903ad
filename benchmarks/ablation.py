"""What the switches against noisy labels are worth: one round of training, all else equal.

A run makes its first round, which adopts boxes. Then the second round is trained and evaluated once
for each arm, from the same weights, on the same boxes, in the same order; only the switches differ.

    python benchmarks/ablation.py configs/experiments/demo.yaml --seeds 1 2 3
    python benchmarks/ablation.py configs/experiments/playing_cards.yaml --data FOLDER

prints a line an arm and seed, then the table, mAP@0.5 on the test split.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from boxloop import steps, storage
from boxloop.artifacts import Run
from boxloop.child import Child, step_command
from boxloop.experiment import experiment_yaml, read_experiment
from boxloop.ledger import ROUND_TASKS

PLAIN = {"train.balance_classes": False}
IGNORE = {**PLAIN, "train.ignore_doubtful": True}
ARMS: dict[str, Mapping[str, Any]] = {
    "as in the study": {**PLAIN, "train.ignore_doubtful": False},
    "ignore doubtful": IGNORE,
    "ignore, class alone": {**IGNORE, "train.box_loss_on_adopted": False},
    "ignore, balanced": {**IGNORE, "train.balance_classes": True},
}


def main() -> None:
    """Run all arms for all seeds and print the table."""
    parser = argparse.ArgumentParser(description="Ablation of the trainer's switches.")
    parser.add_argument("experiment")
    parser.add_argument("--data", help="data location, for an experiment file that names none")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    found: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as root:
            base = make_first_round(
                options.experiment, {"data.uri": options.data, "seed": seed}, root
            )
            for arm, switches in ARMS.items():
                found[arm].append(train_second_round(base, switches, f"{root}/arm"))
                say(f"{arm}, seed {seed}: {found[arm][-1]:.3f}")
    print_table(found, options.seeds)


def make_first_round(experiment: str, overrides: Mapping[str, Any], root: str) -> Run:
    """Run round 1, and of round 2 what comes before training."""
    specs = steps.plan_rounds(
        experiment, root=root, experiment_id="base", overrides={**overrides, "rounds": 2}
    )
    for task in ROUND_TASKS:
        run_step(task, specs[0]["run_uri"], 1)
    for task in ("parse_annotations", "write_tfrecords"):
        run_step(task, specs[0]["run_uri"], 2)
    return Run(specs[0]["run_uri"])


def train_second_round(base: Run, switches: Mapping[str, Any], folder: str) -> float:
    """Train and evaluate round 2 of a copy of the run with other settings; return mAP@0.5."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base.uri, folder)
    arm = Run(folder)
    storage.write_bytes(arm.experiment, experiment_yaml(read_experiment(arm.experiment, switches)))
    for task in ("train", "export", "evaluate"):
        run_step(task, folder, 2)
    return float(storage.read_json(arm.evaluation(2))["map50"])


def run_step(task: str, run_uri: str, round_number: int) -> None:
    """Run one task in a child process."""
    lines: list[str] = []
    if Child(step_command(task, run_uri, round_number)).run(lines.append):
        sys.exit("\n".join(lines[-20:]))


def print_table(found: Mapping[str, list[float]], seeds: list[int]) -> None:
    """Print a row an arm: each seed, their mean, and the mean difference to the first arm."""
    first = next(iter(found.values()))
    say("| arm |", *(f"seed {seed} |" for seed in seeds), "mean | to the first |")
    for arm, values in found.items():
        gain = statistics.mean(b - a for a, b in zip(first, values, strict=True))
        cells = [f"{value:.3f} |" for value in (*values, statistics.mean(values))]
        say(f"| {arm} |", *cells, f"{gain:+.3f} |")


def say(*cells: str) -> None:
    """Print a line at once."""
    sys.stdout.write(" ".join(cells) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
