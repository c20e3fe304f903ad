"""Look back on a run, and undo rounds of it: `boxloop history` and `boxloop rollback`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from boxloop.artifacts import Run
from boxloop.cli_help import told
from boxloop.rollback import plan_rollback, rollback
from boxloop.terminal import printable_lines


def add_commands(commands: Any) -> None:
    """Add the commands to an argparse subparsers object."""
    history = commands.add_parser(
        "history",
        **told(
            "Tell who said what about an image, round by round.",
            "history IMG_0815.jpg --run .boxloop/experiments/trial",
            "history cats/IMG_0815.jpg --run gs://bucket/runs/experiments/trial",
        ),
    )
    history.add_argument("image", help="the image's path below the data folder, or its name")
    history.add_argument("--run", required=True, help="the run's folder, or gs://")
    history.set_defaults(command=_history)

    undo = commands.add_parser(
        "rollback",
        **told(
            "Undo a round and those after it. Nothing is lost: what they left moves to "
            "rolled_back/ below the run.",
            "rollback .boxloop/experiments/trial --round 2",
            "rollback .boxloop/experiments/trial --round 1 --yes",
        ),
    )
    undo.add_argument("run", help="the run's folder, or gs://")
    undo.add_argument("--round", type=int, required=True, help="the first round to undo, from 1")
    undo.add_argument("--yes", action="store_true", help="do not ask first (default: ask)")
    undo.set_defaults(command=_rollback)


def _history(options: argparse.Namespace) -> int:
    from boxloop.history import image_history

    lines = image_history(options.run, options.image)
    sys.stdout.write(printable_lines("\n".join(lines)) + "\n")
    return 0


def _rollback(options: argparse.Namespace) -> int:
    run = Run(options.run.rstrip("/"))
    rounds, folder = plan_rollback(run, options.round)
    named = f"round {rounds[0]}" if len(rounds) == 1 else f"rounds {rounds[0]} to {rounds[-1]}"
    if not options.yes and not _is_confirmed(f"{named} of {run.uri} will move to {folder}"):
        sys.stdout.write("Nothing was moved.\n")
        return 1
    rollback(run.uri, options.round)
    sys.stdout.write(_report(run, options.round, named, folder))
    return 0


def _is_confirmed(what: str) -> bool:
    if not sys.stdin.isatty():
        raise ValueError(f"{what}; nobody is there to be asked, so add --yes")
    sys.stdout.write(f"{what}. No task of this run may be running. Go on? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _report(run: Run, first: int, named: str, folder: str) -> str:
    root, _, experiment_id = run.uri.rpartition("/experiments/")
    stands = f"round {first - 1} is its last now" if first > 1 else "it has no round any more"
    return (
        f"Undone: {named} of {run.uri}; {stands}.\n"
        f"All of it is kept in {folder}; delete that folder when you do not want it.\n"
        f"To go on: boxloop run EXPERIMENT.yaml --root {root} --id {experiment_id}\n"
        f"or, in Airflow, clear the tasks of the rounds from {first} on, with `report`.\n"
        f"For a report of what is left: boxloop report {run.uri}\n"
    )
