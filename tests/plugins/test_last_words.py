from types import SimpleNamespace
from typing import Any

import pytest

from boxloop_airflow.last_words import find_spec, tell_failure, tell_retry
from boxloop_airflow.rounds import DEFAULT_ARGS

SPEC = {"run_uri": "/runs/experiments/cards", "round_number": 3}


def context(error: object, **task: Any) -> dict[str, Any]:
    return {
        "exception": error,
        "task": SimpleNamespace(task_id="round.merge", **task),
        "ti": SimpleNamespace(try_number=1, max_tries=2),
        "params": {"experiment": "cards.yaml"},
    }


def test_every_task_of_the_rounds_ends_with_it() -> None:
    assert DEFAULT_ARGS["on_failure_callback"] == [tell_failure]
    assert DEFAULT_ARGS["on_retry_callback"] == [tell_retry]


@pytest.mark.parametrize("task", [{"spec": SPEC}, {"op_args": (SPEC,)}], ids=["operator", "@task"])
def test_it_names_task_round_and_experiment(
    task: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    tell_failure(context(ValueError("seed is wrong"), **task))
    assert "What failed: merge of round 3, experiment cards" in caplog.messages
    assert all("\n" not in line for line in caplog.messages)


def test_an_attempt_that_is_not_the_last_says_so(caplog: pytest.LogCaptureFixture) -> None:
    tell_retry(context(RuntimeError("away"), spec=SPEC))
    assert "it is tried again by itself, 2 more times" in "\n".join(caplog.messages)


@pytest.mark.parametrize("error", [None, "killed"])
def test_a_task_of_no_round_and_an_error_without_an_exception_are_told_too(
    error: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    tell_failure(context(error))
    assert "What failed: merge, experiment cards.yaml" in caplog.messages


def test_a_spec_that_is_not_known_yet_is_none() -> None:
    assert find_spec(SimpleNamespace(op_args=(object(),))) == {}


def test_a_task_of_all_rounds_names_their_run() -> None:
    assert find_spec(SimpleNamespace(op_args=([SPEC, SPEC],))) == {"run_uri": SPEC["run_uri"]}
    assert find_spec(SimpleNamespace(op_args=([],))) == {}
