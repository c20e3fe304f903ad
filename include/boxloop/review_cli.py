"""`boxloop review`: how far people are, and the way out to labelling tools and back."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.cli_help import told
from boxloop.experiment import default_root
from boxloop.terminal import login_name, printable

FORMATS = ("voc", "cvat", "label_studio")


def add_commands(commands: Any) -> None:
    """Add the commands to an argparse subparsers object."""
    review = commands.add_parser(
        "review",
        **told(
            "See what people are asked, and answer with a labelling tool. In Airflow the Review "
            "page of a run does the same in the browser.",
            "review status .boxloop/experiments/trial",
            "review export .boxloop/experiments/trial --to to-review",
            "review import .boxloop/experiments/trial to-review",
        ),
    )
    actions = review.add_subparsers(required=True, metavar="COMMAND", help="what to do")
    for add in (_add_status, _add_export, _add_import):
        add(actions)


def _add_status(actions: Any) -> None:
    status = actions.add_parser(
        "status",
        help="how far people are, round by round",
        **told(
            "Tell how far people are, round by round. Exit code 1 if a decision was set aside.",
            "review status .boxloop/experiments/trial",
            "review status gs://bucket/runs/experiments/trial",
        ),
    )
    status.add_argument("run", help="the run's folder, or gs://")
    status.set_defaults(command=_status)


def _add_export(actions: Any) -> None:
    export = actions.add_parser(
        "export",
        help="write what is not decided yet as a folder for a labelling tool",
        **told(
            "Write what is not decided yet as a folder for a labelling tool. Exit code 1 if an "
            "image could not be read.",
            "review export .boxloop/experiments/trial --to to-review",
            "review export .boxloop/experiments/trial --format cvat --to cvat --link",
        ),
    )
    export.add_argument("run", help="the run's folder, or gs://")
    export.add_argument("--round", type=int, help="which one (default: the newest with a queue)")
    export.add_argument(
        "--format",
        choices=FORMATS,
        default="voc",
        help="of the boxes; voc is labelImg's (default: voc)",
    )
    place = "reviews/<run>/round_01 below the artifact root"
    export.add_argument("--to", metavar="FOLDER", help=f"an empty local folder (default: {place})")
    export.add_argument(
        "--link", action="store_true", help="link local images (default: copy them)"
    )
    export.set_defaults(command=_export)


def _add_import(actions: Any) -> None:
    importer = actions.add_parser(
        "import",
        help="record what was changed in an exported folder",
        **told(
            "Record what was changed in an exported folder. The same import twice records nothing "
            "twice. Exit code 1 if something was set aside.",
            "review import .boxloop/experiments/trial to-review",
            "review import .boxloop/experiments/trial to-review --author Anna --accept-unchanged",
        ),
    )
    importer.add_argument("run", help="the run's folder, or gs://")
    importer.add_argument("folder", help="as `review export` wrote it")
    importer.add_argument("--author", help="who decided (default: the login name)")
    importer.add_argument(
        "--accept-unchanged",
        action="store_true",
        help="a proposed box left as it is, is right (default: it is not decided)",
    )
    importer.set_defaults(command=_import)


def _status(options: argparse.Namespace) -> int:
    from boxloop.review import progress

    run = Run(options.run.rstrip("/"))
    columns = ("round", "asked", "done", "skipped", "seconds", "who", "")
    table = Table(*columns)
    set_aside: dict[str, str] = {}
    for number in _rounds(run):
        told = progress(run, number)
        who = ", ".join(f"{name} {one['done']}" for name, one in told["by_author"].items())
        state = "closed" if told["is_closed"] else "open"
        figures = (number, told["items"], told["done"], told["skipped"], round(told["seconds"]))
        table.add_row(*(Text(f"{one:,}") for one in figures), Text(printable(who)), Text(state))
        folder = run.decisions(number)
        set_aside |= {f"{folder}/{name}": why for name, why in told["set_aside"].items()}
    Console().print(table)
    return _tell_set_aside(set_aside)


def _export(options: argparse.Namespace) -> int:
    from boxloop.review_export import export_review

    run = Run(options.run.rstrip("/"))
    number = options.round or _rounds(run)[-1]
    name = storage.absolute(run.uri).rpartition("/")[2]
    target = options.to or f"{default_root()}/reviews/{name}/round_{number:02d}"
    if storage.is_remote(target):
        raise ValueError(f"--to {target}: labelling tools want a local folder")
    count, failed = export_review(
        run, number, Path(target), options.format, with_links=options.link
    )
    sys.stdout.write(f"{target}: {count:,} images of round {number}\n")
    return _tell_set_aside(failed)


def _import(options: argparse.Namespace) -> int:
    from boxloop.review_import import import_review

    run, folder = Run(options.run.rstrip("/")), Path(options.folder)
    found = import_review(
        run,
        folder,
        author=_author(options),
        accept_unchanged=options.accept_unchanged,
    )
    counts = ", ".join(f"{count:,} {action}" for action, count in found.recorded.items())
    rest = f"{found.unchanged:,} unchanged, {found.known:,} recorded before"
    sys.stdout.write(f"Recorded: {counts}; {rest}, {len(found.set_aside):,} set aside\n")
    return _tell_set_aside(found.set_aside)


def _rounds(run: Run) -> list[int]:
    from boxloop.review import reviewed_rounds

    rounds = reviewed_rounds(run)
    if not rounds:
        problem = "no round has a review queue; oracle.by must be human or both"
        raise ValueError(f"{run.uri}: {problem}")
    return rounds


def _author(options: argparse.Namespace) -> str:
    if author := options.author or login_name():
        return str(author)
    raise ValueError("your login has no name: tell who decided with --author")


def _tell_set_aside(set_aside: Mapping[str, str]) -> int:
    """List what is not used; return the exit code, 1 where there is something."""
    for name in sorted(set_aside):
        sys.stderr.write(printable(f"set aside: {name}: {set_aside[name]}") + "\n")
    return 1 if set_aside else 0
