"""Airflow's web server with one run of two DAGs in its database.

    python -m tests.plugins.review.serve PORT SPECS

SPECS is what the first task of the run returned, as JSON.
"""

import json
import sys
from datetime import UTC, datetime

import uvicorn
from airflow.api_fastapi.app import create_app
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.xcom import XComModel
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from sqlalchemy import text
from tests.plugins.review.runs import RUN_ID


def fill(specs: object) -> None:
    """Write the rows that a run which has planned its rounds leaves."""
    now = datetime(2026, 11, 23, tzinfo=UTC)
    with create_session() as session:
        session.execute(text("PRAGMA foreign_keys=OFF"))  # no task instances here
        session.add(DagBundleModel(name="dags"))
        session.flush()
        for dag_id in ("active_learning", "other"):
            session.add(DagModel(dag_id=dag_id, bundle_name="dags"))  # type: ignore[no-untyped-call]
            state = DagRunState.RUNNING
            run = DagRun(dag_id, RUN_ID, run_after=now, run_type="manual", state=state)
            session.add(run)
            session.flush()
            if dag_id == "active_learning":
                session.add(
                    XComModel(
                        dag_run_id=run.id,
                        task_id="plan_rounds",
                        map_index=-1,
                        key="return_value",
                        dag_id=dag_id,
                        run_id=RUN_ID,
                        value=specs,
                        timestamp=now,
                    )
                )


if __name__ == "__main__":
    initdb()
    fill(json.loads(sys.argv[2]))
    uvicorn.run(create_app("core"), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
