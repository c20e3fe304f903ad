"""An operator that runs a task of a round in a child process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from boxloop.child import INPUT_ERROR, Child, step_command
from boxloop.failure import Cause, StepError, ended
from boxloop_airflow.placement import placement
from boxloop_airflow.progress import Display, forget_progress

if TYPE_CHECKING:
    from airflow.sdk import Context


class ChildTaskOperator(BaseOperator):
    """Run a task that needs TensorFlow in a child process, whose memory is free when it ends.

    Every line of the child goes to the task's log. Progress goes to Airflow's task state store
    as well, under the key "progress", where the page of the task instance shows it.

    Args:
        step: a name from `boxloop.steps.CHILD_TASKS`.
        spec: the round, {"run_uri": ..., "round_number": ...}. (templated)
        worker: of `predict`: the number of one of several workers, from 1.
        workers: how many there are.
    """

    template_fields: Sequence[str] = ("spec",)
    template_fields_renderers = {"spec": "json"}  # noqa: RUF012 (as Airflow declares it)
    ui_color = "#e8f0fe"

    def __init__(
        self, *, step: str, spec: Any, worker: int = 0, workers: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(**{**placement(step), **kwargs})
        self.step = step
        self.spec = spec
        self.worker = worker
        self.workers = workers
        self._child: Child | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the child to its end and return in brief the value that it left in its marker."""
        from boxloop import steps

        where = (self.step, self.spec["run_uri"], self.spec["round_number"])
        command = step_command(*where, self.worker, self.workers)
        self.log.info("Running %s", " ".join(command))
        forget_progress(context.get("task_state_store"))
        self._child = Child(command)
        display = Display(self.log, context.get("task_state_store"))
        self._check(self._child.run(display), display.cause)
        value = steps.task_value(*where, worker=self.worker, workers=self.workers)
        return dict(steps.brief(value))

    def on_kill(self) -> None:
        """End the child and all it started; Airflow waits 5 seconds for this."""
        if self._child is not None:
            self._child.terminate()

    def _check(self, exit_code: int, cause: Cause | None) -> None:
        """Raise unless the child ended well."""
        name = f"{self.step} of round {self.spec['round_number']}"
        if exit_code == 0:
            return
        error = StepError(f"{name} {ended(exit_code)}", cause, exit_code)
        if exit_code == INPUT_ERROR:
            raise AirflowFailException(
                f"{name} cannot use its input or settings: {error.cause.message}"
            ) from error
        raise error
