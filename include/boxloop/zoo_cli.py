"""`boxloop zoo`: what the models are good for, and what they cost here."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from boxloop import child
from boxloop.cli_help import told
from boxloop.experiment import read_model
from boxloop.measurement import Measurement, read_measurement
from boxloop.setting_checks import check
from boxloop.train_settings import ModelConfig, WeightsConfig
from boxloop.zoo import STUDY, model_names

COLUMNS = ("model", "task", "weights", "px", "COCO", "MB", "img/s", "minutes")
TABLE_WIDTH = 80  # of all columns; less than that is shown as a list
NOTES = """
weights   trained on; *: give their file's sha256 first, see docs/zoo.md
COCO      AP in percent, published for the closest model; source: --json
MB, img/s (detecting), minutes (1,000 training steps of 16 images)
          measured on this machine by `boxloop zoo measure MODEL`
"""


def add_commands(commands: Any) -> None:
    """Add the command to an argparse subparsers object."""
    zoo = commands.add_parser(
        "zoo",
        **told(
            "List the models, or measure one on this machine.",
            "zoo",
            "zoo --json",
            "zoo measure retinanet_mobilenetv2",
        ),
    )
    zoo.add_argument("--json", action="store_true", help="print all there is to know, for programs")
    zoo.set_defaults(command=_list)

    actions = zoo.add_subparsers(metavar="COMMAND", help="without one: the list")
    measure = actions.add_parser(
        "measure",
        help="train and detect with random images; minutes",
        **told(
            "Measure a model's size and speed on this machine: it trains and detects with random "
            "images, which takes minutes.",
            "zoo measure retinanet_mobilenetv2",
            "zoo measure faster_rcnn_resnet50 --batch-size 2 --steps 3",
        ),
    )
    measure.add_argument("model", help="a name from `boxloop zoo`")
    measure.add_argument(
        "--batch-size",
        type=int,
        default=16,
        help="images a step; fewer take less memory (default: %(default)s)",
    )
    measure.add_argument(
        "--steps",
        type=int,
        default=5,
        help="training steps to time, after the first (default: %(default)s)",
    )
    measure.set_defaults(command=_measure)


def _list(options: argparse.Namespace) -> int:
    entries = [(read_model(name), read_measurement(name)) for name in model_names()]
    if options.json:
        sys.stdout.write(json.dumps(_to_json(entries), indent=2) + "\n")
        return 0
    _print(entries)
    _print_study()
    return 0


def _measure(options: argparse.Namespace) -> int:
    from boxloop.local_run import run_logged

    for option in ("batch_size", "steps"):
        value = getattr(options, option)
        check(value >= 1, f"--{option.replace('_', '-')} must be at least 1, got {value}")
    model = read_model(options.model)
    numbers = (str(options.batch_size), str(options.steps))
    command = [child.interpreter(), "-m", "boxloop.detector.measure", model.name, *numbers]
    run_logged(command, f"measuring {model.name} (a smaller --batch-size needs less memory)")
    _print([(model, read_measurement(model.name))])
    return 0


Entry = tuple[ModelConfig, Measurement | None]


def _to_json(entries: list[Entry]) -> dict[str, Any]:
    models = [
        {**dataclasses.asdict(model), "measured": measured and dataclasses.asdict(measured)}
        for model, measured in entries
    ]
    return {"models": models, "names_of_the_study": STUDY}


def _print(entries: list[Entry]) -> None:
    rows = [(*_description(model), *_figures(measured)) for model, measured in entries]
    console = Console(highlight=False, markup=False)
    if console.is_terminal and console.width < TABLE_WIDTH:
        for name, *values in rows:
            pairs = zip(COLUMNS[1:], values, strict=True)
            console.print(f"{name}\n  " + ", ".join(f"{key} {value}" for key, value in pairs))
    else:
        console.width = TABLE_WIDTH
        console.print(_table(rows))
    sys.stdout.write(NOTES)


def _table(rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in COLUMNS:
        is_text = name in ("model", "task", "weights")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _print_study() -> None:
    lines = ["", "For models of the 2018 study, the nearest here is used:"]
    for nearest in sorted(set(STUDY.values())):
        lines += [nearest] + [f"  {name}" for name in STUDY if STUDY[name] == nearest]
    sys.stdout.write("\n".join(lines) + "\n")


def _description(model: ModelConfig) -> tuple[str, ...]:
    return (
        model.name,
        model.task,
        _origin(model.detector or model.backbone),
        "x".join(map(str, dict.fromkeys(model.input_size))),
        "-" if model.coco_map is None else f"{model.coco_map:.1f}",
    )


def _origin(weights: WeightsConfig | None) -> str:
    if weights is None:
        return "-"
    is_usable = weights.sha256 or "://" not in weights.source
    return re.split("[- ]", weights.trained_on)[0] + ("" if is_usable else "*")


def _figures(measured: Measurement | None) -> tuple[str, ...]:
    if measured is None:
        return ("-",) * 3
    return (
        f"{measured.megabytes:.0f}",
        f"{measured.predict_images_per_second:.3g}",
        f"{measured.training_seconds / 60:.3g}",
    )
