"""The few calls to Airflow's REST API that Boxloop needs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

ATTEMPTS = 6
FIRST_WAIT = 0.25
"""Seconds before the second attempt; each further wait is twice as long."""
PAGE = 100
"""Airflow gives no more at once."""


class AirflowClient:
    """Airflow's REST API; calls are repeated while the server is not there or stumbles.

    Args:
        url: address of the API server, such as http://127.0.0.1:8080.
    """

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(
            base_url=url, timeout=60, trust_env=False
        )  # no proxy: it is local
        self._token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def is_healthy(self) -> bool:
        """Whether every part of Airflow answers; one look, no repeats."""
        try:
            health = self._http.get("/api/v2/monitor/health").json()
        except (httpx.HTTPError, ValueError):
            return False
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def create_pool(self, name: str, slots: int, description: str) -> None:
        """Create a pool, unless there is one of that name."""
        body = {"name": name, "slots": slots, "description": description}
        self._call("POST", "/pools", json=body, accept=(409,))

    def has_dag(self, dag_id: str) -> bool:
        """Whether Airflow has parsed a DAG of that id."""
        return self._call("GET", f"/dags/{dag_id}", accept=(404,)).status_code == 200

    def import_errors(self) -> list[str]:
        """Return the tracebacks of DAG files that could not be parsed."""
        found = self._call("GET", "/importErrors").json()["import_errors"]
        return [f"{error['filename']}: {error['stack_trace']}" for error in found]

    def unpause(self, dag_id: str) -> None:
        """Let a DAG run."""
        self._call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id: str, run_id: str, params: Mapping[str, Any]) -> None:
        """Start a run; a run of that id that is there already is left as it is."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(params)}
        self._call("POST", f"/dags/{dag_id}/dagRuns", json=body, accept=(409,))

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return queued, running, success or failed."""
        return str(self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}").json()["state"])

    def active_runs(self, dag_id: str) -> list[str]:
        """Return the ids of the runs that are queued or running, the oldest first."""
        query = {"state": ["queued", "running"], "order_by": "run_after", "limit": PAGE}
        found = self._call("GET", f"/dags/{dag_id}/dagRuns", params=query).json()["dag_runs"]
        return [run["dag_run_id"] for run in found]

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run failed, which ends its running tasks."""
        self._call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"})

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return all task instances of a run, as the API describes them."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        return list(self._pages(path, "task_instances"))

    def xcom(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        map_index: int = -1,
        *,
        key: str = "return_value",
    ) -> Any:
        """Return what a task returned, or what it left under another key."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        query: dict[str, Any] = {"map_index": map_index, "deserialize": True}
        return self._call("GET", path, params=query).json()["value"]

    def task_state(self, instance: Mapping[str, Any], key: str) -> Any:
        """Return what a task instance keeps under a key of its state store, or None."""
        path = f"{_path(instance)}/state-store/{key}"
        query = {"map_index": instance["map_index"]}
        answer = self._call("GET", path, params=query, accept=(404,))
        return answer.json()["value"] if answer.status_code == 200 else None

    def clear(
        self, dag_id: str, run_id: str, tasks: Sequence[str | tuple[str, int]] | None = None
    ) -> int:
        """Clear tasks of a run, which makes them run again; returns how many.

        Args:
            dag_id: the DAG.
            run_id: the run.
            tasks: task ids, or pairs of task id and map index; None for all that failed.
        """
        body = {"dag_run_id": run_id, "dry_run": False, "only_failed": tasks is None}
        if tasks is not None:
            body["task_ids"] = list(tasks)
        answer = self._call("POST", f"/dags/{dag_id}/clearTaskInstances", json=body)
        return int(answer.json()["total_entries"])

    def log_lines(self, instance: Mapping[str, Any]) -> list[str]:
        """Return the log of a task instance's latest attempt."""
        path = f"{_path(instance)}/logs/{instance['try_number']}"
        query = {"map_index": instance["map_index"], "full_content": True}
        headers = {"Accept": "application/json"}
        content = self._call("GET", path, params=query, headers=headers).json()["content"]
        lines = [_log_line(entry) for entry in content]
        return [line for line in lines if not line.startswith(("::group::", "::endgroup::"))]

    def _pages(self, path: str, key: str) -> Iterator[dict[str, Any]]:
        seen = 0
        while True:
            query = {"limit": PAGE, "offset": seen, "order_by": "id"}
            answer = self._call("GET", path, params=query).json()
            yield from answer[key]
            seen += len(answer[key])
            if not answer[key] or seen >= answer["total_entries"]:
                return

    def _call(
        self, method: str, path: str, *, accept: Sequence[int] = (), **arguments: Any
    ) -> httpx.Response:
        """Call the API; again if the server is away, stumbles, or has forgotten our token."""
        for attempt in range(ATTEMPTS):
            try:
                answer = self._call_once(method, path, **arguments)
            except httpx.TransportError:
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                if answer.status_code in accept or answer.is_success:
                    return answer
                if attempt == ATTEMPTS - 1 or not _is_passing(answer):
                    raise RuntimeError(f"{method} {answer.url}: {answer.status_code} {answer.text}")
                self._token = ""
            time.sleep(FIRST_WAIT * 2**attempt)
        raise AssertionError("unreachable")

    def _call_once(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        if not self._token:
            self._token = self._http.get("/auth/token").raise_for_status().json()["access_token"]
        headers = {"Authorization": f"Bearer {self._token}", **arguments.pop("headers", {})}
        return self._http.request(method, f"/api/v2{path}", headers=headers, **arguments)


def _is_passing(answer: httpx.Response) -> bool:
    return answer.status_code >= 500 or answer.status_code in (401, 429)


def _path(instance: Mapping[str, Any]) -> str:
    run = f"/dags/{instance['dag_id']}/dagRuns/{instance['dag_run_id']}"
    return f"{run}/taskInstances/{instance['task_id']}"


def _log_line(entry: Any) -> str:
    if isinstance(entry, str):
        return entry
    details = entry.get("error_detail") or []
    causes = [f"{cause.get('exc_type')}: {cause.get('exc_value')}" for cause in details]
    return "\n".join([str(entry.get("event", "")), *causes])
