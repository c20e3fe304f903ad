"""The task that asks the oracle, and waits for people where they are a part of it."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow.providers.standard.operators.hitl import HITLEntryOperator
from airflow.sdk.configuration import conf

if TYPE_CHECKING:
    from airflow.sdk import Context

GO_ON = "Go on with what there is"
"""The only answer to the task; a page with all questions is behind the link in its text."""
BODY = """\
**{items}** of round {round_number} {wait} for you on the [review page]({link}).

Each decision is saved as you make it, so you may stop and come back. When you are done, press
*{option}*, here or on the page. Without an answer the run goes on by itself after {hours:g} h, with
the decisions that it has by then.
"""


class MatchLabelsOperator(HITLEntryOperator):
    """Ask the oracle which detections are right, then wait until people have answered too.

    While it waits, for `review.hours` of the experiment at the most, it holds no slot of a worker
    or a pool. It does not wait where people are asked nothing, or their answers have been taken.

    Args:
        spec: the round, {"run_uri": ..., "round_number": ...}. (templated)
    """

    template_fields: Collection[str] = ("spec",)
    template_fields_renderers = {"spec": "json"}  # noqa: RUF012 (as Airflow declares it)
    ui_color = "#fdeadf"

    def __init__(self, *, spec: Any, **kwargs: Any) -> None:
        super().__init__(subject="Review", options=[GO_ON], defaults=[GO_ON], **kwargs)
        self.spec = spec

    def execute(self, context: Context) -> dict[str, Any]:
        """Judge, then wait if there is something to wait for."""
        value = self._judge()
        num_items = value.get("review_items", 0)
        if not num_items or self._is_closed():
            return value
        hours = self._hours()
        items = f"{num_items} image" + ("s" if num_items > 1 else "")
        round_number = self.spec["round_number"]
        self.subject = f"Round {round_number}: {items} to review"
        self.body = BODY.format(
            items=items,
            wait="wait" if num_items > 1 else "waits",
            round_number=round_number,
            link=review_link(context["ti"].dag_id, context["ti"].run_id),
            option=GO_ON,
            hours=hours,
        )
        self.response_timeout = timedelta(hours=hours)
        super().execute(context)  # raises TaskAwaitingInput
        raise AssertionError("unreachable")

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on after an answer, or when the time is over."""
        super().execute_complete(context, event)
        user = event["responded_by_user"]
        self.log.info("Going on: %s", f"{user['name']} says so" if user else "the time is over")
        self._record_wait()
        return self._judge()

    def _judge(self) -> dict[str, Any]:
        from boxloop import steps

        return dict(steps.brief(steps.run_task("match_labels", **self.spec)))

    def _record_wait(self) -> None:
        from boxloop import timings
        from boxloop.artifacts import Run

        where = Run(self.spec["run_uri"]), self.spec["round_number"]
        timings.record_wait(*where, "match_labels", until=time.time())

    def _is_closed(self) -> bool:
        from boxloop import review
        from boxloop.artifacts import Run

        return review.is_closed(Run(self.spec["run_uri"]), self.spec["round_number"])

    def _hours(self) -> float:
        from boxloop.artifacts import Run
        from boxloop.experiment import read_experiment

        return float(read_experiment(Run(self.spec["run_uri"]).experiment).review.hours)


def review_link(dag_id: str, run_id: str) -> str:
    """Return the address of a run's review page, without the host that people reach Airflow by."""
    base = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
    return f"{base}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}/plugin/review"
