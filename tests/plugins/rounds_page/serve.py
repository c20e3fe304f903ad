"""Airflow's web server with the runs that a JSON file describes in its database.

    python -m tests.plugins.rounds_page.serve PORT FILE

FILE: a list of {dag_id, run_id, state, run_uri, rounds, done, predicts, working, ending}.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from airflow.api_fastapi.app import create_app
from airflow.models.dag import DagModel, DagTag
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from sqlalchemy import insert, text
from sqlalchemy.orm import Session
from uuid6 import uuid7

from boxloop import storage
from boxloop.artifacts import Run

START = datetime.now(UTC) - timedelta(hours=18, minutes=40)
BEFORE = ("gate", "parse_annotations", "write_tfrecords", "train", "export", "evaluate")
SECONDS = {"train": 431.0, "predict": 96.0, "evaluate": 41.0, "gate": 12.0}
PROGRESS = {"step": 400, "steps": 1000, "loss": 0.4321, "images_per_second": 20.0}


def fill(runs: list[dict[str, Any]]) -> None:
    with create_session() as session:
        session.execute(text("PRAGMA foreign_keys=OFF"))
        session.add(DagBundleModel(name="dags"))
        session.flush()
        for dag_id in sorted({run["dag_id"] for run in runs}):
            session.add(DagModel(dag_id=dag_id, bundle_name="dags"))  # type: ignore[no-untyped-call]
            if dag_id != "other":
                session.add(DagTag(name="boxloop", dag_id=dag_id))
        session.flush()
        for number, run in enumerate(runs):
            _add_run(session, run, START + timedelta(hours=number))


def _add_run(session: Session, run: dict[str, Any], start: datetime) -> None:
    row = DagRun(
        run["dag_id"], run["run_id"], run_after=start, run_type="manual", state=run["state"]
    )
    row.start_date = start
    row.end_date = None if run["state"] == "running" else start + timedelta(hours=3)
    session.add(row)
    session.flush()
    if run["dag_id"] == "other":
        return
    instances = list(_instances(run, start))
    session.execute(insert(TaskInstance), instances)
    specs = [{"run_uri": run["run_uri"], "round_number": n + 1} for n in range(run["rounds"])]
    values = [("plan_rounds", -1, specs)] if specs else []
    for index in range(run["done"] if run["run_uri"] else 0):
        uri = Run(run["run_uri"]).marker(index + 1, "evaluate")
        if storage.exists(uri):
            values.append(("round.evaluate", index, storage.read_json(uri)["value"]))
    for task, index, value in values:
        where = {"dag_run_id": row.id, "task_id": task, "map_index": index, "dag_id": row.dag_id}
        session.add(
            XComModel(**where, key="return_value", run_id=row.run_id, value=value, timestamp=start)
        )
    if run.get("working"):
        where = {"dag_run_id": row.id, "task_id": "round.train", "map_index": run["done"]}
        session.add(
            TaskStateStoreModel(
                **where,
                key="progress",
                dag_id=row.dag_id,
                run_id=row.run_id,
                value=json.dumps(PROGRESS),
            )
        )


def _instances(run: dict[str, Any], clock: datetime) -> Any:
    workers = run.get("predicts", 1)
    predicts = [*(f"predict_{n:02d}" for n in range(1, workers + 1) if workers > 1), "predict"]
    tasks = [*BEFORE, *predicts, "match_labels", "merge"]
    has_plan, is_over = bool(run["rounds"]), run["done"] == run["rounds"]
    yield _instance(run, "plan_rounds", -1, "success" if has_plan else "running", clock)
    clock += timedelta(seconds=5)
    for index in range(run["rounds"]):
        for place, task in enumerate(tasks):
            state: str | None = "success"
            if index == run["done"]:
                state = run.get("then") or (
                    "success" if place < 3 else "running" if place == 3 else None
                )
            elif index > run["done"]:
                state = run.get("then") or ("scheduled" if place == 0 else None)
            yield _instance(run, f"round.{task}", index, state, clock)
            if not task.startswith("evaluate"):
                clock += timedelta(seconds=SECONDS.get(task.partition("_")[0], 3.0) + 1)
    end = "success" if has_plan and (is_over or run.get("then") == "skipped") else None
    yield _instance(run, "report", -1, end, clock)


def _instance(
    run: dict[str, Any], task: str, index: int, state: str | None, clock: datetime
) -> dict[str, Any]:
    name = task.removeprefix("round.")
    seconds = SECONDS.get(name.partition("_")[0], 3.0)
    started = state not in (None, "scheduled")
    return {
        "id": uuid7(),
        "task_id": task,
        "dag_id": run["dag_id"],
        "run_id": run["run_id"],
        "map_index": index,
        "state": state,
        "try_number": 2 if name == "train" and index == 1 else 1 if started else 0,
        "max_tries": 2,
        "pool": "default_pool",
        "scheduled_dttm": clock if state else None,
        "start_date": clock + timedelta(seconds=1) if started else None,
        "end_date": clock + timedelta(seconds=1 + seconds) if state == "success" else None,
        # as of a worker that is at work still, however long the tests before take
        "last_heartbeat_at": datetime.now(UTC) + timedelta(hours=1)
        if run.get("ending") and state
        else None,
        "executor_config": {},
        "context_carrier": {},
        "span_status": "not_started",
    }


if __name__ == "__main__":
    initdb()
    fill(json.loads(Path(sys.argv[2]).read_text()))
    uvicorn.run(create_app("core"), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
