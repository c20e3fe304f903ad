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
    upkeep_cli,
    zoo_cli,
)
from boxloop.cli_help import add_root, grouped, told
from boxloop.experiment import parse_setting
from boxloop.failure import explained, handed_on
from boxloop.oracle_settings import JUDGES
from boxloop.terminal import printable_lines

DEMO = "configs/experiments/demo.yaml"
GROUPS = {
    "Begin": ("demo", "airflow"),
    "Your data": ("doctor", "data", "split", "import"),
    "Runs": ("run", "step", "report", "review", "nightly", "tensorboard", "history", "rollback"),
    "Upkeep": ("gc", "verify", "moved"),
    "Models": ("zoo", "train", "detect", "champion"),
}
HOPELESS = (ValueError, FileNotFoundError, PermissionError, FloatingPointError, MemoryError)
"""Errors that the same command would meet again."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code, 2 where trying again cannot help."""
    options = build_parser().parse_args(arguments)
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


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="boxloop",
        description="Active learning of object detectors. Exit codes: 0 all went well; 1 something "
        "\nfailed, or was found, as the help of the command says; 2 wrong input or settings.",
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show every line of children, and tracebacks"
    )
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", help="see below; `boxloop COMMAND --help` says more"
    )
    for add in (_add_run, _add_step, _add_report, _add_demo, _add_airflow):
        add(commands)
    for module in (
        champion_cli,
        data_cli,
        detect_cli,
        history_cli,
        nightly_cli,
        review_cli,
        tensorboard_cli,
        train_cli,
        upkeep_cli,
        zoo_cli,
    ):
        module.add_commands(commands)
    parser.epilog = grouped(commands.choices, GROUPS)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    return parser


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        **told(
            "Run all rounds of an experiment, without Airflow. What is finished is never done "
            "twice: the same command with the same --id goes on where it was cut off.",
            f"run {DEMO}",
            f"run {DEMO} --oracle none --id control",
            "run mine.yaml --id trial --rounds 2 --set train.steps=30",
        ),
    )
    run.add_argument("experiment", help=f"experiment file, such as {DEMO}")
    add_root(run)
    run.add_argument("--id", help="name of the run; one that is there goes on (default: the time)")
    run.add_argument(
        "--oracle",
        choices=JUDGES,
        help="who judges detections; none: a control run (default: as in the file)",
    )
    run.add_argument(
        "--seed", type=int, help="of data, splits and training (default: as in the file)"
    )
    run.add_argument("--rounds", type=int, help="how many, 1 to 99 (default: as in the file)")
    run.add_argument(
        "--pause-for-review",
        action="store_true",
        help="end where a round asks people and nobody has answered yet; after `boxloop review` "
        "the same command goes on (default: nobody is waited for)",
    )
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any setting of the experiment, such as train.steps=50; may be repeated",
    )
    run.set_defaults(command=_run)


def _add_step(commands: Any) -> None:
    step = commands.add_parser(
        "step",
        **told(
            "Run one task of one round. Airflow's tasks and `boxloop run` do this; by hand it "
            "shows a task that fails on its own.",
            "step evaluate --run .boxloop/experiments/trial --round 1",
            "step predict --run .boxloop/experiments/trial --round 1 --worker 1 --workers 2",
        ),
    )
    step.add_argument(
        "task", choices=steps.ROUND_TASKS, metavar="TASK", help=", ".join(steps.ROUND_TASKS)
    )
    step.add_argument("--run", required=True, help="the run's folder, or gs://")
    step.add_argument("--round", type=int, required=True, help="which round, from 1")
    step.add_argument(
        "--worker",
        type=int,
        default=0,
        help="of predict: do the share of this one of several workers, from 1 (default: all that "
        "is left)",
    )
    step.add_argument(
        "--workers", type=int, default=1, help="of predict: how many there are (default: 1)"
    )
    step.set_defaults(command=_step)


def _add_report(commands: Any) -> None:
    report = commands.add_parser(
        "report",
        **told(
            "Write the report of a run anew, over the rounds that are finished.",
            "report .boxloop/experiments/trial",
            "report gs://bucket/runs/experiments/trial",
        ),
    )
    report.add_argument("run", help="the run's folder, or gs://")
    report.set_defaults(command=_report)


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        **told(
            "Run an experiment in an Airflow of its own and follow it. On a terminal Airflow then "
            "stays up until Ctrl-C.",
            "demo",
            "demo --seed 2",
            "demo --experiment configs/experiments/playing_cards.yaml --data cards/",
        ),
    )
    demo.add_argument("--experiment", default=DEMO, help="experiment file (default: %(default)s)")
    demo.add_argument(
        "--seed", type=int, help="of data, splits and training (default: as in the file)"
    )
    demo.add_argument("--data", help="folder or gs:// with the images (default: as in the file)")
    demo.set_defaults(command=_demo)


def _add_airflow(commands: Any) -> None:
    airflow = commands.add_parser(
        "airflow",
        **told(
            "Keep Airflow up until Ctrl-C, to trigger runs and look at them. No login: it listens "
            "on this machine's loopback address alone.",
            "airflow",
            "--verbose airflow",
        ),
    )
    airflow.set_defaults(command=_airflow)


def _run(options: argparse.Namespace) -> int:
    from boxloop.local_run import run_experiment

    overrides: dict[str, Any] = dict(parse_setting(text) for text in options.set)
    overrides["oracle.by"] = options.oracle or overrides.get("oracle.by")
    overrides["seed"] = overrides.get("seed") if options.seed is None else options.seed
    overrides["rounds"] = overrides.get("rounds") if options.rounds is None else options.rounds
    experiment_id = options.id or f"run-{datetime.now():%Y%m%d-%H%M%S}"
    value = run_experiment(
        options.experiment,
        root=options.root,
        experiment_id=experiment_id,
        overrides=overrides,
        pause_for_review=options.pause_for_review,
    )
    sys.stdout.write(_outcome(value, experiment_id))
    return 0


def _outcome(value: dict[str, Any], experiment_id: str) -> str:
    if "report_uri" in value:
        return f"Report: {value['report_uri']}\n"
    run = value["run_uri"]
    return (
        f"Round {value['unanswered_round']} asks people. Nothing is lost: answer, and go on.\n"
        f"  boxloop review export {run} --to FOLDER    # look through FOLDER with labelImg\n"
        f"  boxloop review import {run} FOLDER\n"
        f"Then the same command again, with --id {experiment_id}; without --pause-for-review it "
        "goes on with what there is.\n"
    )


def _step(options: argparse.Namespace) -> int:
    import psutil

    child.watch_lifeline()
    with handed_on() if child.is_watched() else explained(options.task, options.run, options.round):
        value = steps.run_task(
            options.task,
            options.run,
            options.round,
            worker=options.worker,
            workers=options.workers,
            started=psutil.Process().create_time(),  # the time of starting up counts too
        )
    sys.stdout.write(f"{steps.brief(value)}\n")
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
