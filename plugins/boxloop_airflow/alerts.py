"""Tell people that a night failed or is late: in the log, in a file, and where a webhook leads.

Set $BOXLOOP_ALERT_URL to have each alert posted there as JSON, {"text": ...} and what it is about,
which chat programs show as it is. That a target cannot be reached is logged, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import urllib.request
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)

URL = "BOXLOOP_ALERT_URL"
SECONDS = 5.0
"""How long a webhook may take."""

Alert = dict[str, Any]


def alert_failure(context: Mapping[str, Any]) -> None:
    """Tell that a task has failed for good: the `on_failure_callback` of a DAG's tasks."""
    try:
        tell(_of_failure(context))
    except Exception:  # whatever is wrong with an alert, the task ends as it would
        log.exception("The alert about a failed task could not be made")


async def alert_late(context: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
    """Tell that a run is late: the callback of a DAG's deadline, called by the triggerer."""
    run = (context or {}).get("dag_run") or {}
    run_id, dag_id = run.get("dag_run_id") or run.get("run_id"), run.get("dag_id")
    hours = kwargs.get("hours", 0.0)
    text = f"{dag_id} is late: the run {run_id} is not done {hours:g} h after it was queued"
    alert = {"kind": "late", "text": text, "dag": dag_id, "run": run_id, "hours": hours}
    await asyncio.to_thread(tell, alert)  # the triggerer waits for nobody


def tell(alert: Alert) -> None:
    """Log an alert, write it down below the artifact root, and post it if there is a webhook."""
    log.error("ALERT: %s", alert["text"])
    for target in (_write, _post):
        try:
            target(alert)
        except Exception as error:  # one target less is no reason to be silent in the others
            log.warning("The alert did not reach %s: %s", target.__name__.strip("_"), error)


def _of_failure(context: Mapping[str, Any]) -> Alert:
    ti = context["ti"]
    index = getattr(ti, "map_index", -1)
    round_number = index + 1 if index is not None and index >= 0 else None
    where = f"round {round_number} of " if round_number else ""
    error = context.get("exception")
    text = f"{ti.task_id} failed in {where}{ti.dag_id}, run {ti.run_id}, try {ti.try_number}"
    return {
        "kind": "failed",
        "text": f"{text}: {error}" if error else text,
        "dag": ti.dag_id,
        "run": ti.run_id,
        "task": ti.task_id,
        "round": round_number,
        "try": ti.try_number,
        "log": getattr(ti, "log_url", None),
        "error": str(error) if error else None,
    }


def _write(alert: Alert) -> None:
    """Write an alert to alerts/ below the artifact root; the same one twice is one file."""
    from boxloop import storage
    from boxloop.experiment import default_root

    parts = (alert.get(name) for name in ("dag", "run", "task", "round", "kind"))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(str(part) for part in parts if part))
    storage.write_json(f"{default_root().rstrip('/')}/alerts/{name}.json", alert)


def _post(alert: Alert) -> None:
    url = os.environ.get(URL)
    if not url:
        return
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"${URL} must begin with http:// or https://")
    data = json.dumps(alert).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=data, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=SECONDS):
        log.info("The alert was posted")
