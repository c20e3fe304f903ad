"""The GPU task of a round."""

from __future__ import annotations

import re
import signal
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, ResumableJobMixin
from airflow.sdk.exceptions import AirflowFailException

from boxloop import heartbeat
from boxloop.artifacts import Run
from boxloop.child import INPUT_ERROR, step_command
from boxloop.failure import Cause, StepError
from boxloop_airflow import tensorboard
from boxloop_airflow.launchers import (
    FAILED,
    GONE,
    OUT_OF_MEMORY,
    RUNNING,
    SUCCEEDED,
    Job,
    JobId,
    Launcher,
    Status,
    launcher_name,
    make_launcher,
)
from boxloop_airflow.placement import placement
from boxloop_airflow.progress import Display, forget_progress

if TYPE_CHECKING:
    from airflow.sdk import Context

GPU_POOL = "gpu"
OFFSET_KEY = "train_log_offset"
GENERATION_KEY = "train_generation"
HOPELESS = "hopeless"
RESUME = ("auto", "never")


class TrainDetectorOperator(ResumableJobMixin, BaseOperator):
    """Train the detector of a round where the launcher says, in one slot of the pool "gpu".

    The job outlives this task: an attempt after the death of the task or its worker finds it again
    and goes on with its log. If the job itself has died, a new one goes on from the round's newest
    checkpoint. A job that no task waits for ends itself (see `boxloop.heartbeat`), and of two that
    meet, one waits for the other (see `boxloop.lease`).

    Args:
        spec: the round, {"run_uri": ..., "round_number": ...}. (templated)
        resume: what a cleared task does; auto: it goes on from the newest checkpoint, and has
            nothing to do if training was finished; never: it trains anew. A retry always goes on.
            (templated)
        launcher: local, docker, kubernetes or vertex; by default $BOXLOOP_LAUNCHER, else local.
        launcher_options: see docs/operator.md; by default $BOXLOOP_LAUNCHER_OPTIONS.
        pool: limits how many train at once.
    """

    template_fields: Sequence[str] = ("spec", "resume")
    template_fields_renderers = {"spec": "json"}  # noqa: RUF012 (as Airflow declares it)
    external_id_key = "train_job"
    operator_extra_links = (tensorboard.TensorBoardLink(),) if tensorboard.is_on() else ()
    ui_color = "#fde8d0"

    def __init__(
        self,
        *,
        spec: Any,
        resume: str = RESUME[0],
        launcher: str | None = None,
        launcher_options: Mapping[str, Any] | None = None,
        pool: str = GPU_POOL,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool=pool, **{**placement("train"), **kwargs})
        self.spec = spec
        self.resume = resume
        self.launcher = launcher
        self.launcher_options = launcher_options
        self._launcher: Launcher | None = None
        self._job: JobId | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Start training, or find it again, and follow it to its end."""
        from boxloop import steps

        run, round_number = Run(self.spec["run_uri"]), self.spec["round_number"]
        self._launcher = make_launcher(self.launcher, self.launcher_options)
        tensorboard.push(context, self.spec)
        is_known = self._begin(context)
        done = None if is_known else steps.finished_value(run, round_number, "train")
        if done is not None:
            return dict(done)
        with heartbeat.beating(run.heartbeat(round_number)):
            return dict(self.execute_resumable(context))

    def submit_job(self, context: Context) -> dict[str, Any]:
        """Start the job; returns what finds it again."""
        job = self._build_job(context["ti"])
        self.log.info("Launching %s: python %s", job.name, " ".join(job.arguments))
        store = context.get("task_state_store")
        if store is not None:
            self._clear_away(store.get(self.external_id_key))
            store.delete(OFFSET_KEY)
        forget_progress(store)
        self._job = self._the_launcher.submit(job)
        return {"launcher": self._launcher_name, "job": self._job}

    def get_job_status(self, external_id: Any, context: Context) -> str:
        """Return the job's state, or "hopeless" if another would end in the same way."""
        status = self._the_launcher.status(external_id["job"])
        return HOPELESS if status.is_hopeless else status.state

    def is_job_active(self, status: str) -> bool:
        """Whether there is something to follow: the last words of one that has ended count."""
        return status not in (FAILED, GONE)

    def is_job_succeeded(self, status: str) -> bool:
        """Whether the job has ended well."""
        return status == SUCCEEDED

    def poll_until_complete(  # type: ignore[override]  # the mixin returns it where it reconnects
        self, external_id: Any, context: Context
    ) -> dict[str, Any]:
        """Follow the job's log to its end; the value is used where a job was found again."""
        self._job = external_id["job"]
        store = context.get("task_state_store")
        display = Display(self.log, store, offset_key=OFFSET_KEY)
        offset = None if store is None else store.get(OFFSET_KEY)
        self._the_launcher.follow(self._job, offset, display)
        status = self._the_launcher.status(self._job)
        self._the_launcher.remove(self._job)
        self._check(status, display.cause)
        return self.get_job_result(external_id, context)

    def get_job_result(self, external_id: Any, context: Context) -> dict[str, Any]:
        """Return the small value that training left in its marker."""
        from boxloop import steps

        return steps.task_value("train", **self.spec)

    def on_kill(self) -> None:
        """Ask the job to save and end. Airflow waits 5 seconds for this; the job may take more."""
        if self._launcher is not None and self._job is not None:
            self._launcher.stop(self._job)

    @property
    def _the_launcher(self) -> Launcher:
        if self._launcher is None:
            self._launcher = make_launcher(self.launcher, self.launcher_options)
        return self._launcher

    @property
    def _launcher_name(self) -> str:
        return self.launcher or launcher_name()

    def _begin(self, context: Context) -> bool:
        """Tell a cleared task from a retry: what the attempts before a clear left is dropped.

        Airflow keeps the state of a cleared task, but raises its `max_tries`.

        Returns:
            Whether an attempt before this one has launched a job.
        """
        if self.resume not in RESUME:
            raise ValueError(f"resume must be {' or '.join(RESUME)}, got {self.resume!r}")
        store, max_tries = context.get("task_state_store"), context["ti"].max_tries
        if store is None:
            return False
        stored: Any = store.get(self.external_id_key)
        is_new = store.get(GENERATION_KEY) != max_tries
        if stored and (is_new or stored["launcher"] != self._launcher_name):
            self._clear_away(stored)
            store.delete(self.external_id_key)
            stored = None
        if is_new:
            self._discard_training()
            store.set(GENERATION_KEY, max_tries)
        return stored is not None

    def _clear_away(self, stored: Any) -> None:
        """End a job of before, if any; the lease makes the next one wait until it has saved."""
        if not stored or stored["launcher"] != self._launcher_name:
            return
        if self._the_launcher.status(stored["job"]).state == RUNNING:
            self._the_launcher.stop(stored["job"])
        else:
            self._the_launcher.remove(stored["job"])

    def _discard_training(self) -> None:
        from boxloop import training

        if self.resume == "never":
            self.log.info("Training anew: resume is never")
            training.discard_training(**self.spec)

    def _build_job(self, ti: Any) -> Job:
        run_uri, round_number = self.spec["run_uri"], self.spec["round_number"]
        experiment = re.sub(r"[^a-z0-9]+", "-", run_uri.rpartition("/")[2].lower()).strip("-")
        owner = {
            name: str(getattr(ti, name))
            for name in ("dag_id", "run_id", "task_id", "map_index", "try_number")
        }
        return Job(
            name=f"boxloop-{experiment[:30]}-{round_number:02d}-{uuid.uuid4().hex[:8]}",
            arguments=step_command("train", run_uri, round_number)[1:],
            run_uri=run_uri,
            environment=heartbeat.environment(Run(run_uri).heartbeat(round_number)),
            owner=owner,
        )

    def _check(self, status: Status, cause: Cause | None) -> None:
        """Raise unless the job has ended well."""
        if status.state == SUCCEEDED:
            return
        name = f"training of round {self.spec['round_number']}"
        how = "is gone" if status.state == GONE else f"ended with exit code {status.exit_code}"
        reason = f" ({status.reason})" if status.reason else ""
        error = StepError(
            f"{name} {how}{reason}; the next attempt goes on from the newest checkpoint",
            cause,
            status.exit_code or (-signal.SIGKILL if status.state == GONE else 0),
        )
        if status.exit_code == INPUT_ERROR:
            why = status.reason or "its log above says why"
            raise AirflowFailException(
                f"{name} would fail again, so it is not tried again: {why}"
            ) from error
        if status.reason == OUT_OF_MEMORY:
            raise AirflowFailException(
                f"{name} ran out of memory: lower train.batch_size or model.input_size, or give "
                "it a machine with more"
            ) from MemoryError(status.reason)
        raise error
