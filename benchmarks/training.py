"""Training through the operator against Model Garden's own loop, and what feeds it.

    python benchmarks/training.py [--steps 60] [--pairs 2]

On drawn scenes, RetinaNet on MobileNetV2, 256 px, batches of 16. Each training runs in a process of
its own, by turns; speeds leave the first ten steps out, which trace the graph. Prints

    training_start      seconds from the operator's start to the end of its first ten steps, and
                        from the plain loop's
    training_inputs     images/s of our input pipeline alone over the operator's (wanted: 3)
    training_operator   images/s through TrainDetectorOperator over Model Garden's run_experiment
                        with the same configuration and its own input pipeline (wanted: 0.97)
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from boxloop import steps
from boxloop.artifacts import Run
from boxloop.child import Child, parse_progress
from boxloop.experiment import read_experiment
from boxloop.ledger import task_value

PLUGINS = Path(__file__).resolve().parents[1] / "plugins"
EXPERIMENT = "configs/experiments/demo.yaml"
SETTINGS = {
    "model": "retinanet_mobilenetv2",
    "train.start": "nothing",
    "train.freeze_backbone": False,
    "rounds": 1,
}
BATCH = 16


class Timing(NamedTuple):
    """How a training went."""

    start_seconds: float
    images_per_second: float


def main() -> None:
    """Run the pairs and print the ratios."""
    parser = argparse.ArgumentParser(description="Benchmark of training.")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--child", choices=["plain", "inputs"], help="for the benchmark itself")
    parser.add_argument("--run")
    options = parser.parse_args()
    if options.child:
        CHILDREN[options.child](Run(options.run))
        return
    with tempfile.TemporaryDirectory() as root:
        runs = [prepare(root, f"run-{n}", options.steps) for n in range(options.pairs)]
        plain, ours = [], []
        for run in runs:
            plain.append(time_training(partial(run_child, "plain", run)))
            ours.append(time_training(partial(run_operator, run)))
        inputs = time_training(partial(run_child, "inputs", runs[0]))
    report(plain, ours, inputs)


def prepare(root: str, experiment_id: str, num_steps: int) -> Run:
    """Draw the scenes and write the records of a run's first round."""
    settings = {**SETTINGS, "train.steps": num_steps, "train.batch_size": BATCH}
    spec = steps.plan_rounds(
        EXPERIMENT, root=root, experiment_id=experiment_id, overrides=settings
    )[0]
    for task in ("parse_annotations", "write_tfrecords"):
        steps.run_task(task, spec["run_uri"], 1)
    return Run(spec["run_uri"])


def time_training(start: Callable[[Callable[[str], None]], None]) -> Timing:
    """Time a training by the lines of progress that it prints, every ten steps."""
    begin = time.monotonic()
    seen: list[tuple[float, int]] = []

    def on_line(line: str) -> None:
        if (progress := parse_progress(line)) is not None:
            seen.append((time.monotonic(), progress["step"]))

    start(on_line)
    (first, first_step), (last, last_step) = seen[0], seen[-1]
    return Timing(first - begin, (last_step - first_step) * BATCH / (last - first))


def run_operator(run: Run, on_line: Callable[[str], None]) -> None:
    """Train round 1 by the operator; what it would show in Airflow goes to `on_line`."""
    sys.path.append(str(PLUGINS))
    from boxloop_airflow import progress, train_detector

    operator = train_detector.TrainDetectorOperator(
        task_id="train", spec={"run_uri": run.uri, "round_number": 1}
    )
    show = progress.Display.__call__

    def show_and_tell(self: Any, line: str, offset: Any = None) -> None:
        on_line(line)
        show(self, line, offset)

    progress.Display.__call__ = show_and_tell  # type: ignore[method-assign]
    names = ("dag_id", "run_id", "task_id")
    ti = SimpleNamespace(
        **dict.fromkeys(names, "benchmark"), map_index=0, try_number=1, max_tries=0, stats_tags={}
    )
    operator.execute({"ti": ti, "task_state_store": None})  # type: ignore[typeddict-item]
    progress.Display.__call__ = show  # type: ignore[method-assign]


def run_child(name: str, run: Run, on_line: Callable[[str], None]) -> None:
    """Run this file's child `name` in a process as the operator's trainer has it."""
    lines: list[str] = []

    def keep(line: str) -> None:
        lines.append(line)
        on_line(line)

    if Child([sys.executable, __file__, "--child", name, "--run", run.uri]).run(keep):
        sys.exit("\n".join(lines[-20:]))


def train_plain(run: Run) -> None:
    """Train with Model Garden's run_experiment: our configuration, and nothing else of ours."""
    import tensorflow as tf
    from official.core import task_factory, train_lib

    from boxloop.progress import tell

    config = build_plain_config(run)
    done = 0

    def say(logs: Any) -> None:
        nonlocal done
        done += config.trainer.steps_per_loop
        tell(step=done, steps=config.trainer.train_steps, images_per_second=0)

    with tempfile.TemporaryDirectory() as folder:
        train_lib.run_experiment(
            tf.distribute.get_strategy(),
            task_factory.get_task(config.task),
            "train",
            config,
            folder,
            train_actions=[say],
        )


def read_inputs(run: Run) -> None:
    """Read batches as training does, and train on none of them."""
    from official.core import task_factory

    from boxloop.detector.inputs import Inputs, build_inputs
    from boxloop.progress import tell

    config = build_plain_config(run)
    train = read_experiment(run.experiment).train
    inputs = Inputs(config=train, class_counts=[1] * (config.task.model.num_classes - 1), seed=1)
    build = task_factory.get_task(config.task).build_inputs
    batches = build_inputs(build, inputs, config.task.train_data, is_rcnn=False)
    for step, _ in enumerate(batches.take(train.steps), start=1):
        if step % 10 == 0:
            tell(step=step, steps=train.steps, images_per_second=0)


def build_plain_config(run: Run) -> Any:
    """Return Model Garden's configuration of round 1."""
    from boxloop.detector.config import build_config, set_training_data

    experiment = read_experiment(run.experiment)
    class_names = task_value("parse_annotations", run.uri, 1)["class_names"]
    shards = task_value("write_tfrecords", run.uri, 1)["shards"]["train"]
    config = build_config(experiment, len(class_names))
    set_training_data(config, [Path(shard) for shard in shards], train=experiment.train, seed=1)
    return config


def report(plain: list[Timing], ours: list[Timing], inputs: Timing) -> None:
    """Print medians and their ratios."""
    speed = statistics.median(timing.images_per_second for timing in ours)
    plain_speed = statistics.median(timing.images_per_second for timing in plain)
    starts = [statistics.median(t.start_seconds for t in timings) for timings in (ours, plain)]
    sys.stdout.write(
        f"images/s: operator {speed:.1f}, plain {plain_speed:.1f}, "
        f"inputs alone {inputs.images_per_second:.1f}\n"
        f"training_start seconds={starts[0]:.1f} plain={starts[1]:.1f}\n"
        f"training_inputs ratio={inputs.images_per_second / speed:.2f}\n"
        f"training_operator ratio={speed / plain_speed:.3f}\n"
    )


CHILDREN = {"plain": train_plain, "inputs": read_inputs}

if __name__ == "__main__":
    main()
