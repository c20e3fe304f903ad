"""One block of text for people at the end of a log that ends badly. Pure, but for `explained`."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from boxloop.advice import (
    ADVICE,
    BEFORE,
    BUCKET,
    DISK,
    LEASE,
    LOSS,
    MEMORY,
    MISSING,
    PERMISSION,
    SETTING,
    SIGNAL,
    STALE,
    UNKNOWN,
)
from boxloop.artifacts import Run
from boxloop.borders import masked
from boxloop.lease import LeaseLostError
from boxloop.settings import Experiment
from boxloop.terminal import printable_lines

MARK = "@failure "
WIDTH = 96
RULE = "-" * WIDTH
MAX_MESSAGE, MAX_LINES = 600, 8
_CLOUD = ("google.api_core", "google.auth", "google.cloud")
_HTTP = ("requests", "urllib3")
"""What Google's libraries, and others, reach servers with."""
_SECTIONS = "|".join(each.name for each in dataclasses.fields(Experiment))
_SETTING = rf"(?:{_SECTIONS})(?:\.[a-z_0-9]+)+"
_SINGLE = "model|rounds|seed"
"""Settings of an experiment that begin a message without a dot."""
_SUFFIXES = "csv|xml|jsonl?|ya?ml|txt|parquet|jpe?g|png|bmp|webp|zip|tar|gz|tfrecord|pbtxt|h5|npz"
_LONGEST = 20_000  # characters of a message that are looked at
SHELL_SIGNAL = 128
"""What a shell adds to the number of a signal."""


class Cause(NamedTuple):
    """What went wrong, as a process tells the one that started it."""

    kind: str
    message: str
    subject: str


class StepError(RuntimeError):
    """A process of Boxloop has ended badly.

    Args:
        message: how.
        cause: what it has said of why, if anything.
        exit_code: negative, or 128 and more, where a signal ended it.
    """

    def __init__(self, message: str, cause: Cause | None, exit_code: int) -> None:
        super().__init__(message)
        is_signal = exit_code < 0 or exit_code > SHELL_SIGNAL
        self.cause = cause or Cause(SIGNAL if is_signal else UNKNOWN, message, "")


def ended(exit_code: int) -> str:
    """Return how a process ended, from its exit code; negative: by a signal."""
    if exit_code < 0:
        return f"was ended by signal {-exit_code}: stopped from outside, or out of memory"
    return f"ended with exit code {exit_code}; its log is above"


def find_cause(error: BaseException) -> Cause:
    """Return what went wrong, from an error and those behind it."""
    for each in _chain(error):
        if isinstance(each, StepError):
            return each.cause
    kinds = [kind for each in _chain(error) if (kind := _kind(each)) != UNKNOWN]
    if _is_from(error, "docker") and not _is_from(error, *_CLOUD):
        kinds = []  # Docker does not answer: no file is missing, and there is no bucket
    telling = next((kind for kind in kinds if kind != SETTING), *kinds[:1] or [UNKNOWN])
    message = masked(str(error)[:_LONGEST]) or type(error).__name__
    return Cause(telling, message, masked(_subject(error)))


def failure_line(error: BaseException) -> str:
    """Return what a child process prints of its end; `parse_failure` reads it."""
    return MARK + json.dumps(find_cause(error)._asdict())


def parse_failure(line: str) -> Cause | None:
    """Return what a line of `failure_line` says; None if it is none."""
    if not line.startswith(MARK):
        return None
    try:
        cause = Cause(**json.loads(line.removeprefix(MARK)))
    except (TypeError, ValueError, RecursionError):
        return None
    return cause if all(isinstance(each, str) for each in cause) else None


def failure_block(
    error: BaseException,
    *,
    task: str,
    run_uri: str = "",
    round_number: int | None = None,
    retry: str = "",
    experiment: str = "",
) -> str:
    """Return what failed, on what, what to do, and where the details are.

    Args:
        error: that ended the task.
        task: its name.
        run_uri: folder of the experiment, as far as it is known.
        round_number: from 1; None outside rounds.
        retry: what happens by itself, such as `it is tried again, 2 more times`.
        experiment: its name; by default the folder's.
    """
    cause = find_cause(error)
    is_own = bool(run_uri) and cause.subject.startswith(f"{run_uri.rstrip('/')}/")
    kind = STALE if cause.kind == MISSING and is_own else cause.kind
    advice = ADVICE.get(kind, ADVICE[UNKNOWN])
    experiment = experiment or run_uri.rstrip("/").rpartition("/")[2]
    number = "" if round_number is None else f" of round {round_number}"
    folder = run_uri if round_number is None else Run(run_uri).round(round_number)
    rows = {
        "What failed": f"{task}{number}" + (f", experiment {experiment}" if experiment else ""),
        "On what": cause.subject or "no single file or setting",
        "Why": _shorten(printable_lines(cause.message)),
        "What to do": f"Nothing yet: {retry}. If that fails too: {advice.text}"
        if retry
        else advice.text,
        "Details": f"the log above; {folder + '; ' if run_uri else ''}docs/{advice.page}",
    }
    lines = [line for name, text in rows.items() for line in _row(name, text)]
    return "\n".join([RULE, *lines, RULE])


@contextmanager
def explained(task: str, run_uri: str = "", round_number: int | None = None) -> Iterator[None]:
    """Add the block to every error that passes, as its note."""
    try:
        yield
    except Exception as error:
        error.add_note(failure_block(error, task=task, run_uri=run_uri, round_number=round_number))
        raise


@contextmanager
def handed_on() -> Iterator[None]:
    """Print the line of every error that passes, for the process that waits for this one."""
    try:
        yield
    except Exception as error:
        sys.stdout.write(f"{failure_line(error)}\n")
        raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _is_from(error: BaseException, *packages: str) -> bool:
    """Whether an error, or one behind it, is of one of some packages."""
    modules = (f"{type(each).__module__}." for each in _chain(error))
    return any(module.startswith(f"{name}.") for module in modules for name in packages)


def _kind(error: BaseException) -> str:
    name, message = type(error).__name__, str(error)[:_LONGEST]
    if _is_from(error, *_CLOUD) and type(error).__module__.startswith((*_CLOUD, *_HTTP)):
        return BUCKET
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DISK
    if name == "ResourceExhaustedError" and os.strerror(errno.ENOSPC) in message:
        return DISK  # TensorFlow has the same name for memory
    if isinstance(error, MemoryError) or name == "ResourceExhaustedError":
        return MEMORY
    if re.match(r"round \d+ failed;", message):
        return BEFORE
    if isinstance(error, BrokenPipeError):
        return UNKNOWN
    if isinstance(error, ValueError):
        is_stale = re.search(r"\bbuilt on|has no summary|rollback was cut off", message)
        is_named = _named(error) or re.search(rf"(?<![\w./]){_SETTING}", message)
        return STALE if is_stale else SETTING if is_named else UNKNOWN
    kinds = {
        LeaseLostError: LEASE,
        FileNotFoundError: MISSING,
        NotADirectoryError: MISSING,
        PermissionError: PERMISSION,
        FloatingPointError: LOSS,
        ConnectionError: BUCKET,
    }
    return next((kind for cls, kind in kinds.items() if isinstance(error, cls)), UNKNOWN)


def _subject(error: BaseException) -> str:
    """Return the field, setting, file or folder that an error is about; "" if it does not say."""
    return next((named for each in _chain(error) if (named := _named(each))), "")


def _named(error: BaseException) -> str:
    """Return what an error names by itself."""
    message = str(error)[:_LONGEST]
    if found := re.match(r"Fields? (\".+?)(?:, line \d+)?: ", message):
        return f"the form's field {found[1]}"
    if isinstance(error, OSError) and error.filename:
        return str(error.filename)
    if found := re.match(rf"[^\s:/]+\.(?:{_SUFFIXES})(?=[:,\s]|$)", message):
        return found[0]
    if found := re.match(rf"(?:unknown )?(?:setting )?({_SETTING}|(?:{_SINGLE})\b)", message):
        return f"setting {found[1]}"
    if found := re.match(r"(?:unknown )?setting ([a-z_0-9.]*\w)", message):
        return f"setting {found[1]}"
    if found := re.search(
        r"(?<![a-z0-9+])[a-z][a-z0-9+]*://[^\s;,'\"]+|(?<![\w.:/])/[^\s:;,'\"]+", message
    ):
        return found[0].rstrip(":.)")
    return ""


def _row(name: str, text: str) -> list[str]:
    """Return the lines of a row, words kept whole."""
    start, indent = f"{name + ':':<12} ", " " * 13
    wrap = partial(textwrap.wrap, width=WIDTH, subsequent_indent=indent, break_on_hyphens=False)
    first, *others = text.splitlines() or [""]
    lines = wrap(start + first, break_long_words=False)
    for each in others:
        lines += wrap(indent + each, break_long_words=False)
    return lines


def _shorten(message: str) -> str:
    """Return the beginning of a message: its first lines, and not much of them."""
    text = "\n".join(message.splitlines()[:MAX_LINES])
    return f"{text[:MAX_MESSAGE].rstrip()} ..." if len(message) > len(text[:MAX_MESSAGE]) else text
