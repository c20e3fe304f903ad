"""The steps for a terminal: `boxloop run EXPERIMENT.yaml` and the rest."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from boxloop import (
    champion_cli,
    child,
    data_cli,
    detect_cli,
    history_cli,
    nightly_cli,
    review_cli,
    steps,
    tensorboard_cli,
    train_cli,
    zoo_cli,
)
from boxloop.experiment import default_root, parse_setting
from boxloop.failure import explained, handed_on
from boxloop.oracle_settings import JUDGES
from boxloop.terminal import printable_lines

DEMO = "configs/experiments/demo.yaml"
HOPELESS = (ValueError, FileNotFoundError, PermissionError, FloatingPointError, MemoryError)
"""Errors that the same command would meet again."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code, 2 where trying again cannot help."""
    options = _parser().parse_args(arguments)
    level = logging.DEBUG if options.verbose else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", stream=sys.stdout)
    for name in ("absl", "h5py", "httpx", "matplotlib", "PIL", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except HOPELESS as error:
        if options.verbose:
            raise
        _write_error(error)
        return child.INPUT_ERROR
    except RuntimeError as error:
        _write_error(error)
        return 1
    except BrokenPipeError:  # `boxloop zoo | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        sys.stderr.write("boxloop: interrupted; run the same command again to go on\n")
        return 130


def _write_error(error: BaseException) -> None:
    """Write what went wrong, and last the block that says what to do, if there is one."""
    told = [f"boxloop: error: {error}", *getattr(error, "__notes__", [])]
    sys.stderr.write(printable_lines("\n".join(told)) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="boxloop", description="Active learning of detectors.")
    parser.add_argument("-v", "--verbose", action="store_true", help="show every line of children")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run all rounds of an experiment, without Airflow")
    run.add_argument("experiment", help=f"experiment file, such as {DEMO}")
    run.add_argument("--root", default=default_root(), help="artifact root: folder or gs://")
    run.add_argument("--id", help="name of the run; that of an unfinished run goes on with it")
    run.add_argument("--oracle", choices=JUDGES, help="none: a control run")
    run.add_argument("--seed", type=int, help="of data, splits and training")
    run.add_argument("--rounds", type=int)
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any setting of the experiment, such as train.steps=50; may be repeated",
    )
    run.set_defaults(command=_run)

    step = commands.add_parser("step", help="run one task of a round")
    step.add_argument("task", choices=steps.ROUND_TASKS)
    step.add_argument("--run", required=True, help="the run's folder, or gs://")
    step.add_argument("--round", type=int, required=True)
    step.add_argument("--shard", type=int, default=0)
    step.add_argument("--num-shards", type=int, default=1)
    step.set_defaults(command=_step)

    report = commands.add_parser("report", help="write the report of a run")
    report.add_argument("run", help="the run's folder, or gs://")
    report.set_defaults(command=_report)

    demo = commands.add_parser("demo", help="run an experiment in an Airflow of its own")
    demo.add_argument("--experiment", default=DEMO)
    demo.add_argument("--seed", type=int)
    demo.add_argument("--data", help="data location, for an experiment file that names none")
    demo.set_defaults(command=_demo)

    champion_cli.add_commands(commands)
    data_cli.add_commands(commands)
    detect_cli.add_commands(commands)
    history_cli.add_commands(commands)
    nightly_cli.add_commands(commands)
    review_cli.add_commands(commands)
    tensorboard_cli.add_commands(commands)
    train_cli.add_commands(commands)
    zoo_cli.add_commands(commands)

    airflow = commands.add_parser("airflow", help="keep Airflow up until Ctrl-C")
    airflow.set_defaults(command=_airflow)
    return parser


def _run(options: argparse.Namespace) -> int:
    from boxloop.local_run import run_experiment

    overrides: dict[str, Any] = dict(parse_setting(text) for text in options.set)
    overrides["oracle.by"] = options.oracle or overrides.get("oracle.by")
    overrides["seed"] = overrides.get("seed") if options.seed is None else options.seed
    overrides["rounds"] = overrides.get("rounds") if options.rounds is None else options.rounds
    experiment_id = options.id or f"run-{datetime.now():%Y%m%d-%H%M%S}"
    value = run_experiment(
        options.experiment, root=options.root, experiment_id=experiment_id, overrides=overrides
    )
    sys.stdout.write(f"Report: {value['report_uri']}\n")
    return 0


def _step(options: argparse.Namespace) -> int:
    import psutil

    child.watch_lifeline()
    with handed_on() if child.is_watched() else explained(options.task, options.run, options.round):
        value = steps.run_task(
            options.task,
            options.run,
            options.round,
            shard=options.shard,
            num_shards=options.num_shards,
            started=psutil.Process().create_time(),  # the time of starting up counts too
        )
    sys.stdout.write(f"{value}\n")
    return 0


def _report(options: argparse.Namespace) -> int:
    sys.stdout.write(f"Report: {steps.report(options.run)['report_uri']}\n")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from boxloop.local_airflow.demo import run_demo

    return run_demo(options.experiment, seed=options.seed, data=options.data)


def _airflow(options: argparse.Namespace) -> int:
    from boxloop.local_airflow.demo import serve

    return serve()
