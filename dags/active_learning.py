"""### Active learning: one run is one experiment.

Round by round the detector boxes more of your images itself. Each round **trains** on all boxes so
far, **predicts** on the images without boxes, keeps the detections whose class is the one the image
is known to show, and **merges** them into the training set of the next round.

- **Trigger it** with the form: every field left empty is as the experiment has it. The task
  `plan_rounds` shows every setting, in its log and as its XCom `experiment`.
- **Watch it**: Grid -> `round` -> a task lists the rounds; a task instance has its log, its
  duration and, under *Storage*, its live progress. The time of a `gate` is time spent waiting.
- **If a task fails**, its log ends with what to do. Mend the cause and clear the failed tasks; the
  rounds after it follow. What is finished is never done twice.
- **A training that dies** is taken up again: the job goes on without its task, a new one from its
  newest checkpoint. What a cleared `train` does, the form's field *Cleared training* says.
- **If the experiment asks people** (`oracle.by`: human or both), `match_labels` waits for them,
  holding no slot: the tab **Review** of the run has the images, *Required Actions* the request.
- **To redo rounds from a given one**, run `boxloop rollback RUN --round N`, then clear all tasks of
  those rounds together with `report`.
- **To go on after the last round**, trigger it again with the same experiment id and more rounds:
  what is finished stays.

The result is `report/index.html` below `<artifact root>/experiments/<experiment id>/`.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, task

from boxloop_airflow.form import PARAMS
from boxloop_airflow.rounds import DEFAULT_ARGS, active_runs, one_round, report


@task
def plan_rounds(**context: Any) -> list[dict[str, Any]]:
    """Check all settings and the data, and return one spec a round."""
    from boxloop_airflow.form import values

    return values.plan(context)


@dag(
    schedule=None,
    max_active_runs=active_runs(),  # 1: two would share one GPU, and neither would be the faster
    params=PARAMS,
    tags=["boxloop", "active learning"],
    doc_md=__doc__,
    default_args=DEFAULT_ARGS,
)
def active_learning() -> None:
    """Wire the rounds of one experiment."""
    rounds: Any = plan_rounds()
    one_round.expand(spec=rounds) >> report(rounds)


active_learning()
