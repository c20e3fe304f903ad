"""What `boxloop` does with data alone: doctor, import, split, show."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from boxloop import storage
from boxloop.borders import spreadsheet_csv
from boxloop.cli_help import told
from boxloop.experiment import build_data_config, default_root, parse_setting
from boxloop.settings import DataConfig
from boxloop.terminal import printable, printable_lines

if TYPE_CHECKING:
    from boxloop.data.dataset import Dataset
    from boxloop.data.doctor import Diagnosis
    from boxloop.data.source import Source

ORIGIN = "source.json"  # written last: what an import read


def add_commands(commands: Any) -> None:
    """Add the commands to an argparse subparsers object."""
    for add in (_add_doctor, _add_import, _add_split, _add_data):
        add(commands)


def _add_doctor(commands: Any) -> None:
    doctor = commands.add_parser(
        "doctor",
        **told(
            "Say what is wrong with a data set, and what an import does about it. Your folder is "
            "not changed. Exit code: 0 nothing to repair, 1 an import deals with it, 2 no detector "
            "can be trained on this.",
            "doctor photos/",
            "doctor photos/ --html doctor.html",
            "doctor gs://bucket/photos --json --set data.min_box=4",
        ),
    )
    _add_source(doctor)
    doctor.add_argument("--json", action="store_true", help="print every finding, for programs")
    doctor.add_argument(
        "--html", metavar="FILE", help="also write a page with pictures (default: none)"
    )
    doctor.set_defaults(command=_doctor)


def _add_import(commands: Any) -> None:
    importer = commands.add_parser(
        "import",
        **told(
            "Read a data set into the tables of a dataset version. A run does this by itself; on "
            "its own it shows what a run would use, and keeps splits as the data grow.",
            "import photos/",
            "import photos/ --to .boxloop/datasets/photos -sr 4",
        ),
    )
    _add_source(importer)
    _add_target(importer, "the tables")
    importer.set_defaults(command=_import)


def _add_split(commands: Any) -> None:
    split = commands.add_parser(
        "split",
        **told(
            "Deal a data set into splits, and list it by class and split.",
            "split photos/",
            "split photos/ -sr 4 --set data.test_share=0.1 --to lists/",
        ),
    )
    _add_source(split)
    _add_target(split, "train.csv, validate.csv, pool.csv and test.csv")
    split.set_defaults(command=_split)


def _add_data(commands: Any) -> None:
    data = commands.add_parser(
        "data", **told("Show what is in a data set.", "data show photos/", "data show --help")
    )
    show = data.add_subparsers(required=True, metavar="COMMAND", help="show").add_parser(
        "show",
        **told(
            "Show boxes by class, split and origin, and their sizes; with --html, pictures too.",
            "data show photos/",
            "data show photos/ --html data.html",
        ),
        help="boxes by class, split and origin, their sizes, a contact sheet",
    )
    _add_source(show)
    show.add_argument(
        "--html", metavar="FILE", help="also write a page with charts and pictures (default: none)"
    )
    show.set_defaults(command=_show)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="folder or gs://bucket/prefix")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the dealing into splits (default: %(default)s)"
    )
    parser.add_argument(
        "-sr",
        "--split-ratio",
        type=float,
        help="training images for each validation image (default: 9, 90 to 10)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any setting of data, such as data.min_box=4; may be repeated",
    )


def _add_target(parser: argparse.ArgumentParser, what: str) -> None:
    place = "datasets/<name of the source> below the artifact root"
    parser.add_argument("--to", help=f"folder or gs:// for {what} (default: {place})")


def _config(options: argparse.Namespace) -> DataConfig:
    settings = dict(parse_setting(text.removeprefix("data.")) for text in options.set)
    if options.split_ratio is not None:
        settings["split_ratio"] = options.split_ratio
    return build_data_config({"uri": options.source, **settings})


def _target(options: argparse.Namespace) -> str:
    """Return where results go, which must not be where the next reading would find them."""
    source = storage.absolute(options.source)
    target = options.to or f"{default_root()}/datasets/{source.rpartition('/')[2]}"
    if f"{storage.absolute(target)}/".startswith(f"{source}/"):
        raise ValueError(f"--to {target} lies in {options.source}, where it would be read again")
    return str(target)


def _read(options: argparse.Namespace, config: DataConfig) -> Source:
    """Read a folder and deal it; one that cannot be trained on is an error."""
    from boxloop.data.source import deal_parts, problem_of
    from boxloop.data.survey import survey_folder

    source = deal_parts(survey_folder(options.source, config, []), config, seed=options.seed)
    if problem := problem_of(source):
        raise ValueError(f"{options.source}: {problem}; `boxloop doctor` says what is wrong")
    return source


def _doctor(options: argparse.Namespace) -> int:
    from boxloop.data.doctor import diagnose, to_json

    diagnosis = diagnose(options.source, _config(options), seed=options.seed)
    if options.html:
        from boxloop.report.data_page import build_doctor_page

        _write_page(
            options.html, build_doctor_page(diagnosis, _verdict(diagnosis), storage.read_bytes)
        )
    if options.json:
        sys.stdout.write(json.dumps(to_json(diagnosis), indent=2) + "\n")
    else:
        _print_diagnosis(diagnosis, Console())
    return diagnosis.status


def _print_diagnosis(diagnosis: Diagnosis, console: Console) -> None:
    from boxloop.data.doctor import EXAMPLES

    table = Table("what", "count", "what an import does", show_lines=True)
    table.add_column("for example", overflow="fold", ratio=1)
    for ailment in diagnosis.ailments:
        shown = [printable(f"{f.path}: {f.detail}") for f in ailment.findings[:EXAMPLES]]
        title = f"{ailment.title}\n({ailment.gravity})"
        cells = (title, f"{len(ailment.findings):,}", ailment.action, "\n".join(shown))
        table.add_row(*map(Text, cells))
    if diagnosis.ailments:
        console.print(table)
    if source := diagnosis.source:
        num_boxes = len(source.dataset.boxes) + len(source.truth)
        text = f"{len(source.dataset.images):,} images and {num_boxes:,} boxes can be used."
        console.print(text, markup=False, highlight=False)
    console.print(printable(_verdict(diagnosis)), markup=False, highlight=False)


def _verdict(diagnosis: Diagnosis) -> str:
    verdicts = ("Nothing to repair.", "An import deals with all of this.", "It cannot be used: ")
    return verdicts[diagnosis.status] + (diagnosis.problem or "")


def _import(options: argparse.Namespace) -> int:
    from boxloop.data.dataset import to_parquet, write_dataset

    target = _target(options)
    source = _read(options, _keep_splits(options, target))
    storage.write_bytes(f"{target}/truth.parquet", to_parquet(source.truth))
    storage.write_bytes(f"{target}/set_aside.csv", spreadsheet_csv(source.set_aside))
    write_dataset(target, source.dataset)
    storage.write_json(f"{target}/{ORIGIN}", {"source": storage.absolute(options.source)})
    counts = (len(source.dataset.images), len(source.dataset.boxes), len(source.set_aside))
    text = "{:,} images, {:,} boxes, {:,} set aside (set_aside.csv says why)".format(*counts)
    sys.stdout.write(f"{target}: {text}\n")
    return 0


def _keep_splits(options: argparse.Namespace, target: str) -> DataConfig:
    """Return the settings; images that an earlier import brought to `target` keep their splits.

    Raises:
        ValueError: if that import was of another folder.
    """
    config = _config(options)
    if not storage.exists(f"{target}/{ORIGIN}"):
        return config
    origin = storage.read_json(f"{target}/{ORIGIN}")["source"]
    if origin != storage.absolute(options.source):
        raise ValueError(f"{target} holds an import of {origin}: name another place with --to")
    if config.previous is not None:
        return config
    sys.stderr.write(f"Images that are in {target} already keep their splits.\n")
    return dataclasses.replace(config, previous=target)


def _split(options: argparse.Namespace) -> int:
    from boxloop.data.splits import split_table

    target = _target(options)
    dataset = _read(options, _config(options)).dataset
    table = split_table(dataset).astype(object).fillna("")
    sys.stdout.write(printable_lines(table.to_string(index=False)) + "\n")
    _write_lists(dataset, target)
    sys.stderr.write(f"Lists: {target}/train.csv, validate.csv, pool.csv, test.csv\n")
    return 0


def _write_lists(dataset: Dataset, folder_uri: str) -> None:
    """Write train.csv, validate.csv and test.csv, as the study's CSV, and pool.csv with labels."""
    from boxloop.data.formats.tables import build_study_csv

    for split, name in (("train", "train"), ("validation", "validate"), ("test", "test")):
        data = build_study_csv(dataset.annotations(split))
        storage.write_bytes(f"{folder_uri}/{name}.csv", data)
    pool = dataset.split("pool")[["image_id", "image_label"]]
    pool = pool.rename(columns={"image_id": "filename"})
    storage.write_bytes(f"{folder_uri}/pool.csv", pool.to_csv(index=False).encode())


def _show(options: argparse.Namespace) -> int:
    from boxloop.report.data_page import build_data_page, describe

    dataset = _read(options, _config(options)).dataset
    sys.stdout.write(printable_lines(describe(dataset)))
    if options.html:
        _write_page(options.html, build_data_page(dataset, options.source, storage.read_bytes))
    return 0


def _write_page(path: str, page: str) -> None:
    storage.write_bytes(path, page.encode())
    sys.stderr.write(f"Page: {path}\n")
