"""Look at the champion, go back to an earlier one, begin with a run: `boxloop champion`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from boxloop import champion
from boxloop.cli_help import add_root, told
from boxloop.storage import absolute
from boxloop.terminal import SOMEBODY, figure, login_name, printable_lines

NAME = "nightly"


def add_commands(commands: Any) -> None:
    """Add the commands to an argparse subparsers object."""
    parser = commands.add_parser(
        "champion",
        **told(
            "Tell which detector is the best so far, and how it came to be.",
            "champion show",
            "champion rollback",
        ),
    )
    own = parser.add_subparsers(required=True, metavar="COMMAND", help="what to do")
    for add in (_add_show, _add_rollback, _add_set, _add_detect):
        add(own)


def _add_show(own: Any) -> None:
    show = own.add_parser(
        "show",
        help="the champion: where it is, its mAP, why it is the champion",
        **told(
            "Show the champion: where it is, its mAP, and why it is the champion.",
            "champion show",
            "champion show --history",
        ),
    )
    show.add_argument(
        "--history",
        action="store_true",
        help="all champions, the oldest first (default: the present one)",
    )
    _add_place(show)
    show.set_defaults(command=_show)


def _add_rollback(own: Any) -> None:
    back = own.add_parser(
        "rollback",
        help="make an earlier champion the champion again",
        **told(
            "Make an earlier champion the champion again.",
            "champion rollback",
            "champion rollback --to 2",
        ),
    )
    back.add_argument("--to", type=int, metavar="N", help="its record (default: the one before)")
    _add_place(back)
    back.set_defaults(command=_rollback)


def _add_set(own: Any) -> None:
    begin = own.add_parser(
        "set",
        help="make a detector of an existing run the champion",
        **told(
            "Make a detector of an existing run the champion.",
            "champion set .boxloop/experiments/trial",
            "champion set .boxloop/experiments/trial --round 2",
        ),
    )
    begin.add_argument("run", help="the run's folder, or gs://")
    begin.add_argument(
        "--round", type=int, help="which one, from 1 (default: the last finished one)"
    )
    _add_place(begin)
    begin.set_defaults(command=_set)


def _add_detect(own: Any) -> None:
    detect = own.add_parser(
        "detect",
        help="detect with a champion in the test images of a run",
        **told(
            "Detect with a champion in the test images of a run; the night does this by itself.",
            "champion detect champion/ --digest 0123 --run .boxloop/experiments/trial --round 1",
            "champion detect gs://bucket/champion --digest 0123 --run RUN --round 2",
        ),
    )
    detect.add_argument("bundle", help="the champion's bundle: a folder or gs://")
    detect.add_argument("--digest", required=True, help="of the bundle; another one is refused")
    detect.add_argument("--run", required=True, help="the run's folder, or gs://")
    detect.add_argument("--round", type=int, required=True, help="whose test images they are")
    detect.set_defaults(command=_detect)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default=NAME, help=f"of the champion (default: {NAME})")
    add_root(parser)


def _show(options: argparse.Namespace) -> int:
    records = champion.history(absolute(options.root), options.name)
    if not records:
        sys.stdout.write(
            f"There is no champion {options.name} yet: the first night makes one, or say\n"
            "boxloop champion set RUN\n"
        )
        return 1
    shown = records if options.history else records[-1:]
    sys.stdout.write(printable_lines("\n\n".join(map(describe, shown))) + "\n")
    return 0


def _rollback(options: argparse.Namespace) -> int:
    root = absolute(options.root)
    record = champion.roll_back(root, options.name, to=options.to, by=login_name() or SOMEBODY)
    sys.stdout.write(printable_lines(describe(record)) + "\n")
    return 0


def _set(options: argparse.Namespace) -> int:
    record = champion.set_champion(
        absolute(options.root),
        options.name,
        options.run,
        round_number=options.round,
        by=login_name() or SOMEBODY,
    )
    sys.stdout.write(printable_lines(describe(record)) + "\n")
    return 0


def _detect(options: argparse.Namespace) -> int:
    from boxloop import child
    from boxloop.comparison import detect_with_champion

    child.watch_lifeline()
    uri = detect_with_champion(options.bundle, options.digest, options.run, options.round)
    sys.stdout.write(f"Detections: {uri}\n")
    return 0


def describe(record: champion.Record) -> str:
    """Return a record of a champion's history as text for a terminal."""
    edges = record.get("map50_interval")
    interval = f" (95 % interval {edges[0]:.3f} to {edges[1]:.3f})" if edges else ""
    return "\n".join(
        [
            f"{record['number']}  {record['how']} at {record['at']} by {record['by']}",
            f"   {record['reason']}",
            f"   mAP@0.5 {figure(record['map50'])}{interval}",
            f"   round {record['round']} of {record['run_uri']}",
            f"   bundle {record['bundle_uri']}",
            f"   weights {record['weights_digest']}",
        ]
    )
