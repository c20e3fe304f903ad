"""A DAG file as Airflow parses it: in an interpreter of its own, and what it then holds."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
PARSE = """
import importlib.util, json, sys, time
import airflow.sdk, airflow.triggers.base
from pathlib import Path
started = time.process_time()
name = Path(sys.argv[1]).stem
spec = importlib.util.spec_from_file_location(name, sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
seconds = time.process_time() - started
dag = getattr(module, name)()
timetable = dag.timetable
assets = getattr(timetable, "asset_condition", None)
print(json.dumps({
    "cpu_seconds": seconds,
    "heavy": [name for name in ("tensorflow", "pandas", "numpy") if name in sys.modules],
    "tasks": sorted(task.task_id for task in dag.tasks),
    "edges": sorted([t.task_id, each] for t in dag.tasks for each in t.downstream_task_ids),
    "pools": {task.task_id: task.pool for task in dag.tasks if task.pool != "default_pool"},
    "owners": sorted({task.owner for task in dag.tasks}),
    "retries": {task.task_id: task.retries for task in dag.tasks},
    "rules": {task.task_id: task.trigger_rule.value for task in dag.tasks},
    "told": [task.task_id for task in dag.tasks if task.on_failure_callback],
    "params": {name: dag.params.get_param(name).dump() for name in dag.params},
    "max_active_runs": dag.max_active_runs, "catchup": dag.catchup,
    "doc": dag.doc_md, "tags": sorted(dag.tags),
    "timetable": type(timetable).__name__,
    "cron": getattr(getattr(timetable, "timetable", None), "expression", None),
    "assets": [asset.name for asset in getattr(assets, "objects", [])],
    "hours": [each.interval.total_seconds() / 3600 for each in dag.deadline or []],
}))
"""


def parse(name: str, **environment: str) -> dict[str, Any]:
    """Parse a file of dags/ and return what its DAG holds.

    Args:
        name: of the file, which is that of its function.
        environment: further variables.
    """
    python_path = os.pathsep.join([str(PROJECT / "plugins"), str(PROJECT / "include")])
    output = subprocess.run(
        [sys.executable, "-c", PARSE, str(PROJECT / "dags" / f"{name}.py")],
        env={**os.environ, "PYTHONPATH": python_path, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return dict(json.loads(output.splitlines()[-1]))
