import errno
import subprocess
import sys
from pathlib import Path

import pytest

from boxloop.advice import ADVICE
from boxloop.experiment import CONFIGS
from boxloop.failure import (
    RULE,
    Cause,
    StepError,
    explained,
    failure_block,
    failure_line,
    find_cause,
    parse_failure,
)
from boxloop.lease import LeaseLostError
from boxloop.local_run import run_logged


def behind(error: Exception, other: Exception) -> Exception:
    error.__cause__ = other
    return error


class GoogleError(Exception):
    """As google-cloud-storage raises."""

    __module__ = "google.api_core.exceptions"


class HttpError(OSError):
    """As requests raises."""

    __module__ = "requests.exceptions"


class DockerError(Exception):
    """As docker raises."""

    __module__ = "docker.errors"


class ProtobufError(Exception):
    """As protobuf raises."""

    __module__ = "google.protobuf.message"


ROOT = 'the form\'s field "Artifact root"'


@pytest.mark.parametrize(
    ("error", "kind", "subject"),
    [
        (FileNotFoundError(errno.ENOENT, "no", "/data/a"), "missing", "/data/a"),
        (FileNotFoundError("gs://b/c does not exist"), "missing", "gs://b/c"),
        (ValueError("train.ema must be in [0, 1), got 2"), "setting", "setting train.ema"),
        (ValueError('Field "Model" (model): huge'), "setting", 'the form\'s field "Model" (model)'),
        (behind(ValueError("data.uri: none"), FileNotFoundError()), "missing", "setting data.uri"),
        (behind(ValueError('Field "Artifact root": x'), PermissionError()), "permission", ROOT),
        (behind(ValueError("seed must be 1"), KeyError()), "setting", "setting seed"),
        (ValueError("unknown setting trian.ema; there are"), "setting", "setting trian.ema"),
        (ValueError("images.csv: line 3 has 2 fields"), "setting", "images.csv"),
        (ValueError("data.csv: line 3 has 2 fields"), "setting", "data.csv"),
        (ValueError("a.xml: is no XML"), "setting", "a.xml"),
        (ValueError("https://a.b/c:8: is it right?"), "setting", "https://a.b/c:8"),
        (ValueError("too few steps: lower train.warmup_steps"), "setting", ""),
        (ValueError("operands could not be broadcast together"), "unknown", ""),
        (ValueError("/r: a rollback was cut off; finish it"), "stale", "/r"),
        (OSError(errno.ENOSPC, "No space left", "/runs/x"), "disk", "/runs/x"),
        (PermissionError(errno.EACCES, "no", "/runs"), "permission", "/runs"),
        (MemoryError(), "memory", ""),
        (StepError("train ended by signal", None, -9), "signal", ""),
        (StepError("train ended with exit code 137", None, 137), "signal", ""),
        (StepError("train ended", None, 1), "unknown", ""),
        (StepError("train ended", Cause("loss", "no number", ""), 2), "loss", ""),
        (FloatingPointError("the loss is not a finite number"), "loss", ""),
        (GoogleError("404 gs://b"), "bucket", "gs://b"),
        (ConnectionRefusedError("refused"), "bucket", ""),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "unknown", ""),
        (behind(GoogleError("away"), HttpError("refused")), "bucket", ""),
        (HttpError("refused"), "unknown", ""),
        (behind(DockerError("x"), behind(HttpError(), FileNotFoundError(2, "no"))), "unknown", ""),
        (behind(DockerError("x"), ConnectionRefusedError()), "unknown", ""),
        (ProtobufError("Error parsing message"), "unknown", ""),
        (behind(RuntimeError("x"), ValueError("round 2 was built on another")), "stale", ""),
        (ValueError("round 1 has no summary: run it before round 2"), "stale", ""),
        (LeaseLostError("taken"), "lease", ""),
        (RuntimeError("round 1 failed; clear its failed tasks"), "before", ""),
        (KeyError("x"), "unknown", ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_are_told_apart(error: Exception, kind: str, subject: str) -> None:
    cause = find_cause(error)
    assert (cause.kind, cause.subject) == (kind, subject)


def test_what_a_child_says_of_its_end_reaches_the_process_that_started_it() -> None:
    line = failure_line(OSError(errno.ENOSPC, "No space left", "/runs/x"))
    assert "\n" not in line
    assert parse_failure(line) == Cause("disk", "[Errno 28] No space left: '/runs/x'", "/runs/x")


@pytest.mark.parametrize("line", ["@failure {", "@failure []", '@failure {"kind": 1}', "x"])
def test_other_lines_say_nothing(line: str) -> None:
    assert parse_failure(line) is None


def test_the_block_says_what_on_what_why_what_to_do_and_where() -> None:
    error = FileNotFoundError("data.uri: folder /a does not exist")
    block = failure_block(error, task="train", run_uri="/runs/experiments/cards", round_number=2)
    assert (
        block
        == f"""{RULE}
What failed: train of round 2, experiment cards
On what:     setting data.uri
Why:         data.uri: folder /a does not exist
What to do:  Put the file or folder in place, or name another one; a relative path starts where
             Airflow or `boxloop` was started. Then try again.
Details:     the log above; /runs/experiments/cards/round_02; docs/your-data.md
{RULE}"""
    )


@pytest.mark.parametrize(
    ("path", "told"),
    [("/runs/cards/round_01/x", "An earlier round was done anew"), ("/data/x", "Put the file")],
)
def test_what_is_missing_in_the_run_itself_is_of_an_earlier_round(path: str, told: str) -> None:
    block = failure_block(FileNotFoundError(2, "no", path), task="train", run_uri="/runs/cards")
    assert told in block


def test_a_block_stays_one_block_whatever_the_message_is() -> None:
    block = failure_block(ValueError("\x1b[31m" + "x\ny" * 1000), task="merge", retry="again")
    assert "\x1b" not in block
    assert len(block) < 2000
    assert "Nothing yet: again." in block


@pytest.mark.parametrize("kind", ADVICE)
def test_every_page_that_advice_names_is_there(kind: str) -> None:
    assert (CONFIGS.parent / "docs" / ADVICE[kind].page).is_file()


def test_an_error_that_passes_carries_the_block() -> None:
    with pytest.raises(ValueError, match="wrong") as caught, explained("merge", "/runs/x", 1):
        raise ValueError("seed is wrong")
    (note,) = caught.value.__notes__
    assert "merge of round 1, experiment x" in note


def test_a_process_that_is_killed_is_known_to_be() -> None:
    command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    with pytest.raises(StepError, match="train failed, exit code -9") as caught:
        run_logged(command, "train")
    assert caught.value.cause.kind == "signal"


def test_boxloop_run_ends_with_the_block(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "boxloop", "run", "playing_cards", "--root", str(tmp_path)]
    ended = subprocess.run(
        [*command, "--id", "x", "--set", "data.uri=/no/such"], capture_output=True, text=True
    )
    assert ended.returncode == 2
    told = ended.stderr.rstrip().splitlines()
    block = told[told.index(RULE) :]
    assert block[-1] == RULE
    assert block[1] == "What failed: plan_rounds, experiment x"
    assert "/no/such" in block[3]
