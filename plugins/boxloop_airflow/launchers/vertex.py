"""Training as a custom job of Vertex AI, by its REST API."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import google.auth
from google.auth.exceptions import TransportError
from google.auth.transport.requests import AuthorizedSession
from requests import Session
from requests.exceptions import RequestException

from boxloop.child import TENSORFLOW
from boxloop_airflow.launchers import (
    FAILED,
    GONE,
    OUT_OF_MEMORY,
    RUNNING,
    SUCCEEDED,
    Job,
    JobId,
    OnLine,
    Status,
    build_options,
    need_bucket,
    stamped,
)

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
STATES = {
    "JOB_STATE_SUCCEEDED": SUCCEEDED,
    "JOB_STATE_FAILED": FAILED,
    "JOB_STATE_CANCELLED": FAILED,
    "JOB_STATE_EXPIRED": FAILED,
}
"""All others are on their way."""
CHIEF = "workerpool0-0"
"""What Cloud Logging calls the first machine of several."""
POLL_SECONDS = 15.0
TIMEOUT = 60
"""Seconds for one answer."""


@dataclass(frozen=True, kw_only=True)
class VertexOptions:
    """The custom job that trains."""

    image: str
    """As built from docker/trainer.Dockerfile, in Artifact Registry."""
    project: str
    region: str
    """Such as europe-west4; the bucket should be there too."""
    hosts: int = 1
    """Machines that train together, with train.device.strategy multi_worker."""
    machine_type: str = "n1-standard-8"
    accelerator_type: str | None = "NVIDIA_TESLA_T4"
    """None: no GPU."""
    accelerator_count: int = 1
    service_account: str | None = None
    """May read and write the bucket; by default that of Vertex AI."""
    spot: bool = False
    """Cheap machines that may be taken away; training then goes on from its checkpoint."""
    timeout_seconds: int = 86400
    """The most that a job may take."""
    boot_disk_gb: int = 100
    environment: Mapping[str, str] = field(default_factory=dict)


class VertexError(RuntimeError):
    """Vertex AI or Cloud Logging refuses what it is asked for."""


def custom_job(job: Job, options: VertexOptions) -> dict[str, Any]:
    """Return a custom job as Vertex AI reads it."""
    environment = {**TENSORFLOW, **options.environment, **job.environment}
    machine: dict[str, Any] = {"machineType": options.machine_type}
    if options.accelerator_type:
        machine["acceleratorType"] = options.accelerator_type
        machine["acceleratorCount"] = options.accelerator_count
    pool = {
        "machineSpec": machine,
        "replicaCount": "1",
        "diskSpec": {"bootDiskType": "pd-ssd", "bootDiskSizeGb": options.boot_disk_gb},
        "containerSpec": {
            "imageUri": options.image,
            "args": ["python", *job.arguments],  # the image's entry point passes SIGTERM on
            "env": [{"name": name, "value": value} for name, value in environment.items()],
        },
    }
    spec: dict[str, Any] = {
        "workerPoolSpecs": [pool, *_other_hosts(pool, options.hosts)],
        "baseOutputDirectory": {"outputUriPrefix": f"{job.run_uri}/vertex/{job.name}"},
        "scheduling": {
            "timeout": f"{options.timeout_seconds}s",
            "restartJobOnWorkerRestart": options.spot,
            **({"strategy": "SPOT"} if options.spot else {}),
        },
    }
    if options.service_account:
        spec["serviceAccount"] = options.service_account
    return {"displayName": job.name, "jobSpec": spec, "labels": _labels(job.owner)}


def _other_hosts(pool: Mapping[str, Any], hosts: int) -> list[dict[str, Any]]:
    """Return the second pool: Vertex AI makes TF_CONFIG of both, the first being the chief.

    Source: https://cloud.google.com/vertex-ai/docs/training/distributed-training
    """
    return [{**pool, "replicaCount": str(hosts - 1)}] if hosts > 1 else []


def job_status(found: Mapping[str, Any]) -> Status:
    """Return how a custom job is, as the API describes it."""
    state = STATES.get(found["state"], RUNNING)
    message = str(found.get("error", {}).get("message", ""))
    code = re.search(r"non-zero status of (\d+)", message)
    if "out of memory" in message.lower():
        return Status(state, reason=OUT_OF_MEMORY)
    if state == SUCCEEDED:
        return Status(state, 0)
    return Status(state, int(code[1]) if code else None, message or found["state"])


class VertexLauncher:
    """Runs jobs as custom jobs; a job's id is the resource name that Vertex AI gives it."""

    def __init__(
        self,
        options: Mapping[str, Any],
        session: Session | None = None,
        *,
        api: str | None = None,
        logging_api: str = "https://logging.googleapis.com",
    ) -> None:
        self._options = build_options(VertexOptions, options, "vertex")
        self._session = session or AuthorizedSession(google.auth.default(scopes=[SCOPE])[0])
        self._api = api or f"https://{self._options.region}-aiplatform.googleapis.com"
        self._logging_api = logging_api

    def submit(self, job: Job) -> JobId:
        """Create a custom job."""
        need_bucket(job, "vertex")
        options = self._options
        parent = f"projects/{options.project}/locations/{options.region}"
        return {
            "name": self._call("POST", f"{parent}/customJobs", custom_job(job, options))["name"]
        }

    def status(self, job_id: JobId) -> Status:
        """Return how a custom job is; one that waits for a machine is running."""
        found = self._call("GET", job_id["name"], accept=404)
        return job_status(found) if found else Status(GONE)

    def follow(self, job_id: JobId, offset: str | None, on_line: OnLine) -> None:
        """Hand on what a job writes to Cloud Logging; the offset is the time of a line."""
        stamped.follow(
            lambda offset: self._log(job_id, offset),
            lambda: self.status(job_id),
            offset,
            on_line,
            errors=(RequestException, TransportError, VertexError),
            poll_seconds=POLL_SECONDS,
        )

    def stop(self, job_id: JobId) -> None:
        """Cancel a job, which gives it time to save."""
        self._call("POST", f"{job_id['name']}:cancel", {}, accept=404)

    def remove(self, job_id: JobId) -> None:
        """Do nothing: Vertex AI keeps its list of jobs, and charges nothing for it."""

    def _log(self, job_id: JobId, offset: str | None) -> Iterator[str]:
        number = job_id["name"].rpartition("/")[2]
        query = f'resource.type="ml_job" AND resource.labels.job_id="{number}"'
        if self._options.hosts > 1:
            query += f' AND resource.labels.task_name="{CHIEF}"'
        body: dict[str, Any] = {
            "resourceNames": [f"projects/{self._options.project}"],
            "filter": query + (f' AND timestamp>"{offset}"' if offset else ""),
            "orderBy": "timestamp asc",
            "pageSize": 1000,
        }
        while True:
            url = f"{self._logging_api}/v2/entries:list"
            page = _json(self._session.post(url, json=body, timeout=TIMEOUT))
            for entry in page.get("entries", []):
                yield f"{entry['timestamp']} {_text(entry)}"
            if not page.get("nextPageToken"):
                return
            body["pageToken"] = page["nextPageToken"]

    def _call(
        self, method: str, path: str, body: Any = None, *, accept: int | None = None
    ) -> dict[str, Any]:
        """Call the API; an empty value if the answer is the one to accept."""
        answer = self._session.request(method, f"{self._api}/v1/{path}", json=body, timeout=TIMEOUT)
        return {} if answer.status_code == accept else _json(answer)


def _json(answer: Any) -> dict[str, Any]:
    if not answer.ok:
        raise VertexError(f"{answer.url}: {answer.status_code} {answer.text}")
    return dict(answer.json())


def _text(entry: Mapping[str, Any]) -> str:
    payload = entry.get("jsonPayload", {})
    return str(entry.get("textPayload") or payload.get("message") or "").rstrip("\n")


def _labels(owner: Mapping[str, str]) -> dict[str, str]:
    """Return labels in the characters that Google Cloud takes."""
    return {name: re.sub(r"[^a-z0-9_-]", "_", value.lower())[:63] for name, value in owner.items()}
