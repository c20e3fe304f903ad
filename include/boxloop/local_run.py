"""All rounds in one process tree, without Airflow: for notebooks, benches and control arms."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from boxloop import steps
from boxloop.artifacts import Run
from boxloop.child import Child, parse_progress, step_command
from boxloop.failure import Cause, StepError, explained, parse_failure
from boxloop.stages import find_stage_line
from boxloop.terminal import figure

LAST_LINES = 25  # of a child that failed

log = logging.getLogger(__name__)


def run_experiment(
    experiment_uri: str,
    *,
    root: str,
    experiment_id: str,
    overrides: Mapping[str, Any],
    pause_for_review: bool = False,
) -> dict[str, Any]:
    """Run an experiment to its report, or go on where it was cut off.

    Args:
        experiment_uri: the experiment file.
        root: the artifact root, a folder or gs://bucket/prefix.
        experiment_id: name of the run's folder below it.
        overrides: dotted setting to value, laid over the file.
        pause_for_review: end where a round asks people and nobody has answered.

    Returns:
        What `steps.report` returns; `run_uri` and `unanswered_round` where the run has paused.

    Raises:
        RuntimeError: if a child process fails; its output is in the log.
    """
    with explained("plan_rounds", Run.of(root, experiment_id).uri):
        specs = steps.plan_rounds(
            experiment_uri, root=root, experiment_id=experiment_id, overrides=overrides
        )
    for spec in specs:
        run_uri, round_number = spec["run_uri"], spec["round_number"]
        if reason := steps.check_previous_round(run_uri, round_number):
            log.info("Stopped before round %d: %s", round_number, reason)
            break
        for task in steps.ROUND_TASKS:
            if task == "merge" and _asks_in_vain(run_uri, round_number):
                if pause_for_review:
                    return {"run_uri": run_uri, "unanswered_round": round_number}
                log.warning("Nobody is waited for: --pause-for-review ends a run where it asks")
            with explained(task, run_uri, round_number):
                _run_task(task, run_uri, round_number)
        summary = steps.task_value("merge", run_uri, round_number)
        log.info(
            "Round %d: %d training images, mAP@0.5 %s, %d adopted",
            *(summary[name] for name in ("round", "training_images")),
            figure(summary["map50"]),
            summary["adopted"],
        )
    with explained("report", specs[0]["run_uri"]):
        return steps.report(specs[0]["run_uri"])


def _asks_in_vain(run_uri: str, round_number: int) -> bool:
    from boxloop import review  # brings pandas

    return review.is_unanswered(Run(run_uri), round_number)


def _run_task(task: str, run_uri: str, round_number: int) -> None:
    log.info("Round %d: %s", round_number, task)
    if task not in steps.CHILD_TASKS:
        steps.run_task(task, run_uri, round_number)
        return
    run_logged(step_command(task, run_uri, round_number), f"{task} of round {round_number}")


def run_logged(command: Sequence[str], name: str) -> None:
    """Run a command in a child process, its progress in the log.

    Raises:
        RuntimeError: if it fails; says how it ended and what it printed last.
    """
    last_lines: deque[str] = deque(maxlen=LAST_LINES)
    causes: list[Cause] = []

    def on_line(line: str) -> None:
        if cause := parse_failure(line):
            causes.append(cause)
            return
        last_lines.append(line)
        if ended := find_stage_line(line):
            log.info("%s", ended)
        else:
            log.log(logging.INFO if parse_progress(line) else logging.DEBUG, "%s", line)

    if code := Child(command).run(on_line):
        message = "\n".join([f"{name} failed, exit code {code}:", *last_lines])
        raise StepError(message, causes[-1] if causes else None, code)
