"""`boxloop zoo`: what the models are good for, and what they cost here."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from boxloop.experiment import read_model
from boxloop.measurement import Measurement, read_measurement
from boxloop.report.times import format_duration
from boxloop.train_settings import ModelConfig, WeightsConfig, check
from boxloop.zoo import STUDY, find_model, model_names

PIPE_WIDTH = 130  # all of the table, for files and other programs
NOTES = """\
COCO: AP in percent, as published for the closest model. Speed and training time (1,000 steps of
16 images) are this machine's, by `boxloop zoo measure MODEL`; -: not measured or not published.
*: give the sha256 of the file first. docs/zoo.md has sources and details.
"""


def add_commands(commands: Any) -> None:
    """Add the command to an argparse subparsers object."""
    zoo = commands.add_parser("zoo", help="list the models, or measure one here")
    zoo.add_argument("--json", action="store_true", help="all there is to know, for programs")
    zoo.set_defaults(command=_list)

    actions = zoo.add_subparsers(metavar="COMMAND")
    measure = actions.add_parser("measure", help="train and detect with random images; minutes")
    measure.add_argument("model", help="a name from `boxloop zoo`")
    measure.add_argument("--batch-size", type=int, default=16, help="images a step; less memory")
    measure.add_argument("--steps", type=int, default=5, help="to time, after the first")
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
    name = find_model(options.model)
    numbers = (str(options.batch_size), str(options.steps))
    command = [sys.executable, "-m", "boxloop.detector.measure", name, *numbers]
    run_logged(command, f"measuring {name} at batch {options.batch_size}")
    _print([(read_model(name), read_measurement(name))])
    return 0


Entry = tuple[ModelConfig, Measurement | None]


def _to_json(entries: list[Entry]) -> dict[str, Any]:
    models = [
        {**dataclasses.asdict(model), "measured": measured and dataclasses.asdict(measured)}
        for model, measured in entries
    ]
    return {"models": models, "names_of_the_study": STUDY}


def _print(entries: list[Entry]) -> None:
    table = _table("model", "task", "pretrained")
    for name in ("px", "COCO", "params", "MB", "images/s", "training"):
        table.add_column(name, justify="right", overflow="fold")
    for model, measured in entries:
        table.add_row(*_description(model), *_figures(measured))
    _show(table)
    _show(NOTES)


def _print_study() -> None:
    table = _table("model", "stands in for these of the 2018 study")
    for nearest in sorted(set(STUDY.values())):
        table.add_row(nearest, ", ".join(name for name in STUDY if STUDY[name] == nearest))
    _show(table)


def _description(model: ModelConfig) -> tuple[str, ...]:
    return (
        model.name,
        model.task,
        _origin(model.detector or model.backbone),
        "x".join(map(str, sorted(set(model.input_size)))),
        "-" if model.coco_map is None else f"{model.coco_map:.1f}",
    )


def _origin(weights: WeightsConfig | None) -> str:
    if weights is None:
        return "-"
    is_usable = weights.sha256 or "://" not in weights.source
    return re.split(r"[-, ]", weights.trained_on)[0] + ("" if is_usable else "*")


def _figures(measured: Measurement | None) -> tuple[str, ...]:
    if measured is None:
        return ("-",) * 4
    return (
        f"{measured.parameters / 1e6:.1f} M",
        f"{measured.megabytes:.0f}",
        f"{measured.predict_images_per_second:.1f}",
        format_duration(measured.training_seconds),
    )


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _show(what: Table | str) -> None:
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(what)
