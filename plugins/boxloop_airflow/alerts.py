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
import threading
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from boxloop.borders import masked

log = logging.getLogger(__name__)

URL = "BOXLOOP_ALERT_URL"
SECONDS = 5.0
"""How long a target may take."""

Alert = dict[str, Any]


def alert_failure(context: Mapping[str, Any]) -> None:
    """Tell that a task has failed for good: the `on_failure_callback` of a DAG's tasks."""
    try:
        tell(_of_failure(context), (context.get("params") or {}).get("artifact_root"))
    except Exception:  # whatever is wrong with an alert, the task ends as it would
        log.exception("The alert about a failed task could not be made")


async def alert_late(context: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
    """Tell that a run is late: the callback of a DAG's deadline, called by the triggerer."""
    run = (context or {}).get("dag_run") or {}
    run_id, dag_id = run.get("dag_run_id") or run.get("run_id"), run.get("dag_id")
    hours = kwargs.get("hours", 0.0)
    text = f"{dag_id} is late: the run {run_id} is not done {hours:g} h after it was queued"
    alert = {"kind": "late", "text": text, "dag": dag_id, "run": run_id, "hours": hours}
    root = (run.get("conf") or {}).get("artifact_root")
    await asyncio.to_thread(tell, alert, root)  # the triggerer waits for nobody


def tell(alert: Alert, root: str | None = None) -> None:
    """Log an alert, post it if there is a webhook, and write it down below the artifact root.

    Args:
        alert: what to tell.
        root: the run's artifact root; None for $BOXLOOP_ROOT.
    """
    alert = {k: masked(v) if isinstance(v, str) and k != "log" else v for k, v in alert.items()}
    log.error("ALERT: %s", alert["text"])
    _try("the webhook", lambda: _post(alert))
    _try("the artifact root", lambda: _write(alert, root))


def _try(target: str, work: Callable[[], None]) -> None:
    """Do something that may fail, or hang in a way that no time limit of its own ends."""
    found = [f"no answer within {SECONDS:g} s"]

    def attempt() -> None:
        try:
            work()
            found[0] = ""
        except Exception as error:  # its text may tell the address, which may be a secret
            code = getattr(error, "code", None)
            found[0] = type(error).__name__ + (f" {code}" if isinstance(code, int) else "")

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(SECONDS)
    if found[0]:
        log.warning("The alert did not reach %s: %s", target, found[0])


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


def _write(alert: Alert, root: str | None) -> None:
    """Write an alert to alerts/ below the artifact root; the same one twice is one file."""
    from boxloop import storage
    from boxloop.experiment import default_root

    parts = (alert.get(name) for name in ("dag", "run", "task", "round", "kind"))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(str(part) for part in parts if part))
    storage.write_json(f"{(root or default_root()).rstrip('/')}/alerts/{name}.json", alert)


def _post(alert: Alert) -> None:
    url = os.environ.get(URL)
    if not url:
        return
    if not url.startswith(("http://", "https://")):
        log.warning("The alert did not reach $%s: it must begin with http:// or https://", URL)
        return
    data = json.dumps(alert).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=data, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=SECONDS):
        log.info("The alert was posted")
