"""A night without Airflow, and what nights have taken in: `boxloop nightly`."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from typing import Any

from boxloop import nightly, steps
from boxloop.cli_help import add_root, told
from boxloop.experiment import parse_setting
from boxloop.terminal import SOMEBODY, login_name, printable_lines

CONFIG = "configs/nightly.yaml"


def add_commands(commands: Any) -> None:
    """Add the commands to an argparse subparsers object."""
    parser = commands.add_parser(
        "nightly",
        **told(
            "Retrain with what is new in an inbox, without Airflow.",
            "nightly run",
            "nightly show",
        ),
    )
    own = parser.add_subparsers(required=True, metavar="COMMAND", help="what to do")
    for add in (_add_run, _add_show, _add_undo):
        add(own)


def _add_run(own: Any) -> None:
    run = own.add_parser(
        "run",
        help="take in, train, compare with the champion; without Airflow",
        **told(
            "Take in what is new, train, and compare with the champion.",
            "nightly run",
            "nightly run configs/nightly.yaml --set inbox=new-photos --always",
        ),
    )
    _add_config(run)
    run.add_argument("--id", help="name of the run; an unfinished one goes on (default: the time)")
    run.add_argument(
        "--always", action="store_true", help="also where nothing is new (default: then it skips)"
    )
    run.set_defaults(command=_run)


def _add_show(own: Any) -> None:
    show = own.add_parser(
        "show",
        help="what each night took in",
        **told(
            "Show what each night took in.",
            "nightly show",
            "nightly show configs/nightly.yaml --root gs://bucket/runs",
        ),
    )
    _add_config(show)
    show.set_defaults(command=_show)


def _add_undo(own: Any) -> None:
    undo = own.add_parser(
        "undo",
        help="go back to the library as an earlier night left it",
        **told(
            "Go back to the library as an earlier night left it.",
            "nightly undo --to 3",
            "nightly undo configs/nightly.yaml --to 1",
        ),
    )
    _add_config(undo)
    undo.add_argument("--to", type=int, required=True, metavar="N", help="number of that night")
    undo.set_defaults(command=_undo)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", nargs="?", default=CONFIG, help=f"settings of the night (default: {CONFIG})"
    )
    add_root(parser)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any setting of the night, such as inbox=photos; may be repeated",
    )


def _night(options: argparse.Namespace, experiment_id: str) -> nightly.Night:
    overrides = dict(parse_setting(text) for text in options.set)
    return nightly.read_night(
        options.config, root=options.root, experiment_id=experiment_id, overrides=overrides
    )


def _run(options: argparse.Namespace) -> int:
    from boxloop.local_run import run_experiment
    from boxloop.promotion import promote

    night = _night(options, options.id or f"night-{datetime.now():%Y%m%d-%H%M%S}")
    taken = nightly.take_in(night, always=options.always)
    if not taken["goes_on"]:
        sys.stdout.write(printable_lines(taken["reason"]) + "\n")
        return 0
    value = run_experiment(
        taken["experiment"],
        root=night.root,
        experiment_id=night.experiment_id,
        overrides=taken["overrides"],
    )
    run_uri = value["report_uri"].removesuffix("/report/index.html")
    config = night.config
    decision = promote(
        run_uri,
        root=night.root,
        name=config.name,
        config=config.promotion,
        by=login_name() or SOMEBODY,
        began=night.began,
    )
    steps.report(run_uri)  # again: it tells of the decision as well
    sys.stdout.write(f"{decision['reason']}\nReport: {value['report_uri']}\n")
    return 0


def _show(options: argparse.Namespace) -> int:
    records = _night(options, "show").records()
    lines = [
        f"{one['number']}  {one['at']}  {one['experiment_id']}\n   {one['reason']}"
        + (f"\n   {one['doctor_uri']}" if one.get("doctor_uri") else "")
        for one in records
    ]
    sys.stdout.write(printable_lines("\n".join(lines or ["No night has been yet."])) + "\n")
    return 0


def _undo(options: argparse.Namespace) -> int:
    record = nightly.undo(_night(options, f"undo by {login_name() or SOMEBODY}"), options.to)
    sys.stdout.write(f"{record['reason']}\n")
    return 0
