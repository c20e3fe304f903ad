"""What `boxloop train` shows of training, without training."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.child import interpreter
from boxloop.cli_help import told
from boxloop.experiment import default_root, experiment_yaml, parse_setting, read_experiment
from boxloop.plan import locate_data
from boxloop.setting_checks import check
from boxloop.settings import Experiment
from boxloop.train_settings import AugmentConfig

if TYPE_CHECKING:
    from boxloop.data.dataset import Dataset

NEIGHBOURS = 64  # images beside those shown, for mosaics and pasting


def add_commands(commands: Any) -> None:
    """Add the command to an argparse subparsers object."""
    train = commands.add_parser(
        "train",
        **told(
            "Show what training sees, without training; `boxloop run` trains.",
            "train --show-augmented configs/experiments/demo.yaml --set train.augment.mosaic=0.3",
            "train --show-augmented .boxloop/experiments/trial/experiment.yaml --count 6",
        ),
    )
    train.add_argument(
        "--show-augmented",
        required=True,
        metavar="EXPERIMENT",
        help="draw training images beside what train.augment makes of them; the experiment.yaml "
        "of a run shows its newest training set, adopted boxes dashed",
    )
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any setting of the experiment, such as train.augment.mosaic=0.5; may be repeated",
    )
    train.add_argument(
        "--count", type=int, default=12, help="images to show (default: %(default)s)"
    )
    train.add_argument(
        "--output", default="augmented.png", help="the picture to write (default: %(default)s)"
    )
    train.set_defaults(command=_show_augmented)


def _show_augmented(options: argparse.Namespace) -> int:
    check(options.count >= 1, f"--count must be at least 1, got {options.count}")
    overrides = dict(parse_setting(text) for text in options.set)
    experiment = locate_data(read_experiment(options.show_augmented, overrides), default_root())
    dataset = _training_set(options.show_augmented, experiment)
    with tempfile.TemporaryDirectory(prefix="boxloop-show-") as folder:
        _draw(folder, experiment, dataset, options.count)
        storage.write_bytes(options.output, storage.read_bytes(f"{folder}/sheet.png"))
    sys.stdout.write(f"Picture: {options.output}\n")
    return 0


def _training_set(experiment_uri: str, experiment: Experiment) -> Dataset:
    """Return the newest dataset of the run whose settings these are, else the user's own."""
    from boxloop.data.dataset import read_dataset
    from boxloop.data.source import read_source

    run = Run(experiment_uri.rpartition("/")[0])
    versions = [run.dataset(number) for number in range(experiment.rounds + 1, 0, -1)]
    for uri in versions:
        if storage.exists(f"{uri}/boxes.parquet"):
            return read_dataset(uri)
    # a few images are shown: whether others look like them does not matter, and takes long
    data = dataclasses.replace(experiment.data, near_duplicates=False)
    return read_source(str(data.uri), data, seed=experiment.seed).dataset


def _draw(folder: str, experiment: Experiment, dataset: Dataset, count: int) -> None:
    """Write some images as examples, and let a child process draw the first `count` of them."""
    from boxloop.data.dataset import build_table
    from boxloop.local_run import run_logged
    from boxloop.records import MANIFEST_COLUMNS, shard_uris, write_shards

    images = dataset.training_images
    images = images.sample(min(len(images), count + NEIGHBOURS), random_state=experiment.seed)
    none = build_table([], MANIFEST_COLUMNS)
    manifest = write_shards(folder, "train", images, dataset, none)
    settings = f"{folder}/experiment.yaml"
    request = {
        "experiment": settings,
        "shards": shard_uris(manifest, "train"),
        "class_names": dataset.class_names,
        "class_counts": list(dataset.class_counts.values()),
        "count": count,
        "title": _describe(experiment.train.augment),
        "output": f"{folder}/sheet.png",
    }
    storage.write_bytes(settings, experiment_yaml(experiment))
    storage.write_json(f"{folder}/request.json", request)
    run_logged([interpreter(), "-m", "boxloop.detector.show", f"{folder}/request.json"], "drawing")


def _describe(augment: AugmentConfig) -> str:
    settings = dataclasses.asdict(augment).items()
    is_on = ", ".join(f"{name}: {value}" for name, value in settings if value)
    return f"{is_on}. Dashed: adopted by the oracle; grey: doubtful."
