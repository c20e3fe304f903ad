"""The gate in front of each round: it opens when the round before is done.

Dynamic task mapping makes the rounds but does not order them: Airflow would run them side by side.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, timezone
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
)
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

if TYPE_CHECKING:
    from airflow.sdk import Context

GO, SKIP, FAIL, WAIT, STEP_ASIDE = "go", "skip", "fail", "wait", "step aside"
FAILED = ("failed", "upstream_failed", "removed")
POLL_SECONDS = 5.0
"""A trigger that fires sooner after its task deferred meets a scheduler race of Airflow 3.3."""
RESCHEDULE_SECONDS = 15.0


def previous_round(gate_state: str | None, last_state: str | None) -> str:
    """Return what a gate does, from the states of the round before.

    Args:
        gate_state: state of that round's gate.
        last_state: state of that round's last task; None if it has none, or none any more.
    """
    if last_state == "success":
        return GO
    if "skipped" in (last_state, gate_state):
        return SKIP
    if last_state in FAILED or gate_state in FAILED:
        return FAIL
    # Only one gate waits at a time. One that got in before its turn would keep the gate that
    # it waits for out for ever.
    return WAIT if gate_state == "success" else STEP_ASIDE


def look(*, dag_id: str, run_id: str, gate_id: str, last_id: str, index: int) -> str:
    """Return what `previous_round` says of the round with map index `index`."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    found = RuntimeTaskInstance.get_task_states(
        dag_id=dag_id, task_ids=[gate_id, last_id], map_index=index, run_ids=[run_id]
    )
    states: Mapping[str, str | None] = found.get(run_id, {})
    return previous_round(states.get(f"{gate_id}_{index}"), states.get(f"{last_id}_{index}"))


class PreviousRoundTrigger(BaseTrigger):
    """Wait in the triggerer, where it holds no worker slot, until a gate need not wait."""

    def __init__(self, poll_seconds: float, **where: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.poll_seconds = poll_seconds
        self.where = where
        """Arguments of `look`."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer builds the trigger from."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {"poll_seconds": self.poll_seconds, **self.where}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep first, then look, until there is a verdict."""
        verdict = WAIT
        while verdict == WAIT:
            await asyncio.sleep(self.poll_seconds)
            verdict = await sync_to_async(look)(**self.where)
        yield TriggerEvent({"verdict": verdict})  # type: ignore[no-untyped-call]


class RoundGate(BaseOperator):
    """Wait until the round before has ended well; fail if it failed, skip if it was skipped.

    It also asks the data, which outlives Airflow's memory: the summary of the round before must be
    there and follow from the rounds before it.

    Args:
        spec: the round, {"run_uri": ..., "round_number": ...}; also the result. (templated)
        last_task_id: the last task of a round.
        deferrable: wait in the triggerer. Otherwise the task is rescheduled, which `dag.test()`
            needs and a scheduler of Airflow 3.3 gets wrong now and then; by default as
            $BOXLOOP_DEFER_GATE says, 1 (yes) or 0.
        poll_seconds: how often the triggerer looks.
    """

    template_fields: Sequence[str] = ("spec",)
    template_fields_renderers = {"spec": "json"}  # noqa: RUF012 (as Airflow declares it)
    ui_color = "#f5f0e1"

    def __init__(
        self,
        *,
        spec: Any,
        last_task_id: str,
        deferrable: bool | None = None,
        poll_seconds: float = POLL_SECONDS,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("max_active_tis_per_dagrun", 1)  # only the next gate need look
        super().__init__(**kwargs)
        self.spec = spec
        self.last_task_id = last_task_id
        if deferrable is None:
            deferrable = os.environ.get("BOXLOOP_DEFER_GATE", "1") != "0"
        self.deferrable = deferrable
        self.poll_seconds = poll_seconds

    def execute(self, context: Context) -> dict[str, Any]:
        """Look, and wait only if there is something to wait for."""
        if self.spec["round_number"] == 1:
            return self._open()
        verdict = look(**self._where(context))
        if verdict == WAIT and self.deferrable:
            trigger = PreviousRoundTrigger(self.poll_seconds, **self._where(context))
            self.defer(trigger=trigger, method_name="resume")
        return self.resume(context, {"verdict": verdict})

    def resume(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Act on what the trigger found."""
        before = self.spec["round_number"] - 1
        if event["verdict"] == GO:
            return self._open()
        if event["verdict"] == SKIP:
            raise AirflowSkipException(f"round {before} was skipped: there is nothing more to do")
        if event["verdict"] == FAIL:
            raise AirflowFailException(
                f"round {before} failed; clear its failed tasks, and the rounds after it follow"
            )
        later = timezone.utcnow() + timedelta(seconds=RESCHEDULE_SECONDS)
        raise AirflowRescheduleException(later)  # type: ignore[no-untyped-call]

    def _open(self) -> dict[str, Any]:
        from boxloop import steps

        try:
            reason = steps.check_previous_round(self.spec["run_uri"], self.spec["round_number"])
        except ValueError as error:  # waiting cannot mend it
            raise AirflowFailException(str(error)) from error
        if reason:
            raise AirflowSkipException(f"the experiment stopped early: {reason}")
        return dict(self.spec)

    def _where(self, context: Context) -> dict[str, Any]:
        ti = context["ti"]
        return {
            "dag_id": ti.dag_id,
            "run_id": ti.run_id,
            "gate_id": ti.task_id,
            "last_id": self.last_task_id,
            "index": self.spec["round_number"] - 2,  # map indexes are from 0
        }
