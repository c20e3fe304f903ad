"""What the log of a failing task ends with: the block of `boxloop.failure`.

Airflow calls these in the task's own process, after it has logged the error. It cannot where that
process itself is killed; the supervisor then ends the log with the signal's name.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)


def tell_failure(context: Any) -> None:
    """End the log of a task that is not tried again."""
    _tell(context, "")


def tell_retry(context: Any) -> None:
    """End the log of an attempt after which there is another."""
    ti = context["ti"]
    left = int(ti.max_tries) + 1 - int(ti.try_number)
    _tell(context, f"it is tried again by itself, {left} more time{'s' if left != 1 else ''}")


def _tell(context: Any, retry: str) -> None:
    from boxloop.failure import failure_block

    error, task, spec = context.get("exception"), context["task"], find_spec(context["task"])
    if not isinstance(error, BaseException):  # Airflow tells of some by their text alone
        error = RuntimeError(str(error or "Airflow does not say why"))
    block = failure_block(
        error,
        task=task.task_id.rpartition(".")[2],
        run_uri=str(spec.get("run_uri", "")),
        round_number=spec.get("round_number"),
        retry=retry,
        experiment="" if spec else str(context.get("params", {}).get("experiment", "")),
    )
    log.info("::endgroup::")  # else the page folds the block away with what went before
    for line in block.splitlines():
        log.error("%s", line)


def find_spec(task: Any) -> Mapping[str, Any]:
    """Return the round that a task works on, {} where it is of none or not known yet.

    Of a task that works on all rounds, the run they are of.
    """
    given = [getattr(task, "spec", None), *getattr(task, "op_args", ())]
    for each in given:
        if isinstance(each, Mapping):
            return each
        if isinstance(each, list) and each and isinstance(each[0], Mapping):
            return {"run_uri": each[0].get("run_uri", "")}
    return {}
