"""What the end of a stage says in the log, in the words of the 2018 study. Pure."""

from __future__ import annotations

import re

RUN = "run"
STAGES = {
    "parse_annotations": ("Annotation parsing", "parsing"),
    "write_tfrecords": ("TFRecord generation", "generation"),
    "train": ("Transfer learning", "learning"),
    "export": ("Model export", "export"),
    "evaluate": ("Evaluation", "evaluation"),
    "predict": ("Prediction", "prediction"),
    "match_labels": ("Label matching", "matching"),
    "merge": ("Data set merge", "merge"),
    RUN: ("Active learning", "running"),
}
"""Task, or the whole run, to its name as a stage and what the time is called."""

_LINE = re.compile(r"[A-Z][A-Za-z ]+ Success \[ Total [a-z]+ time : .* Second \]$")


def stage_line(task: str, seconds: float) -> str:
    """Return what the end of a stage says.

    Args:
        task: of STAGES; a worker of predict is called as the task.
        seconds: that it took.

    Returns:
        `Transfer learning Success [ Total learning time : 0 Hour 27 Minute 51 Second ]`.
    """
    name, verb = STAGES[task.partition("-")[0]]
    return f"{name} Success [ Total {verb} time : {study_duration(seconds)} ]"


def study_duration(seconds: float) -> str:
    """Return seconds as the study wrote them: `0 Hour 27 Minute 51 Second`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} Hour {left} Minute {rest} Second"


def find_stage_line(line: str) -> str | None:
    """Return what a log line says of the end of a stage, without the time of day; else None."""
    found = _LINE.search(line)
    return found[0] if found else None
