"""### Nightly retraining: what is new is learnt, and only a better detector becomes the champion.

Each night new images and boxes are **taken in** from an inbox. Where there are any, a short
experiment goes on from the present champion, and its detector is **promoted** if it is better on
the fixed test set by more than noise. Otherwise the champion stays, and `promote` says why.

- **When**: at 02:00 UTC (`BOXLOOP_NIGHTLY_SCHEDULE`), when the asset `boxloop/labels` has news, or
  by hand. Nothing new: `take_in` is skipped in seconds, and all after it.
- **What came in**: the log of `take_in` says it, with the doctor's page of what was not taken.
- **Who is champion**: the asset `boxloop/champion`, and `boxloop champion show --history`.
- **To undo a promotion**: `boxloop champion rollback`. To undo what was taken in:
  `boxloop nightly undo --to N`. `docs/nightly.md` explains all of it.
- **If a task fails or the night is late**, an alert goes to the log, to `alerts/` below the
  artifact root, and to `BOXLOOP_ALERT_URL`. Mend the cause and clear the failed tasks; or let the
  next night make up for it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import (
    Asset,
    AssetAlias,
    AssetOrTimeSchedule,
    CronTriggerTimetable,
    TriggerRule,
    dag,
    task,
)
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowSkipException

from boxloop_airflow.alerts import alert_failure, alert_late
from boxloop_airflow.nightly_form import HOURS, PARAMS, SCHEDULE, night_arguments
from boxloop_airflow.rounds import DEFAULT_ARGS, one_round, report

LABELS = Asset("boxloop/labels")
"""An event of it says that there is something new in an inbox."""
CHAMPION = Asset("boxloop/champion")
PROMOTION = AssetAlias("boxloop/promotion")
"""Stands for the champion in a task that does not always make a new one."""


@task
def take_in(**context: Any) -> dict[str, Any]:
    """Take in what is new in the inbox; skip the night where there is nothing."""
    from boxloop import nightly

    night = nightly.read_night(**night_arguments(context["params"], context["run_id"]))
    taken = nightly.take_in(night, always=context["params"]["always"])
    if not taken["goes_on"]:
        raise AirflowSkipException(taken["reason"])
    return taken


@task
def plan_rounds(taken: dict[str, Any], **context: Any) -> list[dict[str, Any]]:
    """Check all settings and the data, and return one spec a round."""
    from boxloop import steps

    where = night_arguments(context["params"], context["run_id"])
    return steps.plan_rounds(
        taken["experiment"],
        root=where["root"],
        experiment_id=where["experiment_id"],
        overrides=taken["overrides"],
    )


@task(outlets=[PROMOTION])
def promote(rounds: list[dict[str, Any]], **context: Any) -> dict[str, Any]:
    """Make the new detector the champion if it is better by more than noise; else say why not."""
    from boxloop_airflow.nightly_promotion import decide, event_of

    decision = decide(rounds[0]["run_uri"], context)
    if (extra := event_of(decision, context)) is not None:
        context["outlet_events"][PROMOTION].add(CHAMPION, extra=extra)
    return decision


def schedule() -> Any:
    """Return when nights begin: by the clock, unless it is switched off, and with new labels."""
    if not SCHEDULE:
        return [LABELS]
    timetable = CronTriggerTimetable(SCHEDULE, timezone="UTC")
    return AssetOrTimeSchedule(timetable=timetable, assets=[LABELS])


@dag(
    schedule=schedule(),
    catchup=False,
    max_active_runs=1,  # a night compares with the champion that the night before left
    params=PARAMS,
    tags=["boxloop", "nightly"],
    doc_md=__doc__,
    default_args={
        **DEFAULT_ARGS,
        "on_failure_callback": [*DEFAULT_ARGS["on_failure_callback"], alert_failure],
    },
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=HOURS),
        callback=AsyncCallback(alert_late, kwargs={"hours": HOURS}),
    ),
)
def nightly_retraining() -> None:
    """Wire a night."""
    taken: Any = take_in()
    rounds: Any = plan_rounds(taken)
    told = report.override(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)(rounds)
    one_round.expand(spec=rounds) >> told >> promote(rounds)


nightly_retraining()
