"""Training in several pods of a Kubernetes cluster: an Indexed Job, and names for its pods.

Kubernetes numbers the pods and a headless service gives each a name, so that all know each other
before one has started (docs/operator.md). If one fails, the Job ends all.

Source: https://kubernetes.io/docs/tasks/job/job-with-pod-to-pod-communication/
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from boxloop import hosts
from boxloop_airflow.launchers import FAILED, GONE, RUNNING, SUCCEEDED, Job, JobId, Status
from boxloop_airflow.launchers.kubernetes import KubernetesOptions, pod, pod_status

PORT = 2222
JOB_LABEL = "batch.kubernetes.io/job-name"
INDEX_LABEL = "batch.kubernetes.io/job-completion-index"


def indexed_job(job: Job, options: KubernetesOptions) -> dict[str, Any]:
    """Return a Job of `options.hosts` pods that know each other, as Kubernetes reads it."""
    addresses = [f"{job.name}-{index}.{job.name}:{PORT}" for index in range(options.hosts)]
    environment = {**job.environment, **hosts.environment(addresses)}
    one = pod(dataclasses.replace(job, environment=environment), options)
    metadata, spec = one["metadata"], {**one["spec"], "subdomain": job.name}
    shared = {name: metadata[name] for name in ("labels", "annotations")}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "completionMode": "Indexed",
            "completions": options.hosts,
            "parallelism": options.hosts,
            "backoffLimit": 0,  # Airflow tries again; one without the others has no use
            "template": {"metadata": shared, "spec": spec},
        },
    }


def headless_service(job: Job, uid: str) -> dict[str, Any]:
    """Return the service that gives the pods of a Job their names, as Kubernetes reads it.

    Args:
        job: what runs in the pods.
        uid: of the Job, with which Kubernetes deletes the service.
    """
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job.name, "uid": uid}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": job.name,
            "labels": {"app.kubernetes.io/name": "boxloop"},
            "ownerReferences": [owner],
        },
        "spec": {
            "clusterIP": "None",
            "selector": {JOB_LABEL: job.name},
            "publishNotReadyAddresses": True,  # they look for each other while they start
            "ports": [{"name": "training", "port": PORT}],
        },
    }


def job_status(found: Any, pods: Sequence[Any], now: datetime) -> Status:
    """Return how a Job is, from its pods: the chief's success is that of all.

    Args:
        found: a `V1Job` as the API gives it.
        pods: its `V1Pod`s, that of the chief first.
        now: the time, with its zone.
    """
    statuses = [pod_status(each, now) for each in pods]
    if statuses and _is_chief(pods[0]) and statuses[0].state == SUCCEEDED:
        return statuses[0]
    ended = [each for each in statuses if each.state in (FAILED, GONE)]
    if ended:
        return next((each for each in ended if each.is_hopeless), ended[0])
    for condition in found.status.conditions or []:
        if condition.type == "Failed" and condition.status == "True":
            reasons = filter(None, (condition.reason, condition.message))
            return Status(FAILED, reason=": ".join(reasons))
    waiting = (each.reason for each in statuses if each.reason)
    return Status(RUNNING, reason=next(waiting, ""))


class Group:
    """Pods that train together; a job's id is namespace and name of the Job, and their number."""

    def __init__(self, api: client.CoreV1Api, options: KubernetesOptions) -> None:
        self._api = api
        self._batch = client.BatchV1Api(api.api_client)
        self._options = options

    def submit(self, job: Job) -> JobId:
        """Create the Job, then the service that goes with it; both or neither."""
        namespace = self._options.namespace
        made = self._batch.create_namespaced_job(namespace, indexed_job(job, self._options))
        job_id = {"namespace": namespace, "name": job.name, "hosts": self._options.hosts}
        try:
            service = headless_service(job, made.metadata.uid)
            self._api.create_namespaced_service(namespace, service)
        except Exception:
            self.stop(job_id)
            raise
        return job_id

    def status(self, job_id: JobId) -> Status:
        """Return how the Job is."""
        try:
            found = self._batch.read_namespaced_job(job_id["name"], job_id["namespace"])
        except ApiException as error:
            if error.status == 404:
                return Status(GONE)
            raise
        return job_status(found, self._pods(job_id), datetime.now(UTC))

    def chief(self, job_id: JobId) -> JobId | None:
        """Return namespace and name of the chief's pod, None where there is none yet."""
        pods = self._pods(job_id)
        if not pods or not _is_chief(pods[0]):
            return None
        return {"namespace": job_id["namespace"], "name": pods[0].metadata.name}

    def stop(self, job_id: JobId) -> None:
        """Delete the Job with its service and pods, which gives these time to save."""
        try:
            self._batch.delete_namespaced_job(
                job_id["name"], job_id["namespace"], propagation_policy="Background"
            )
        except ApiException as error:
            if error.status != 404:
                raise

    def _pods(self, job_id: JobId) -> list[Any]:
        found = self._api.list_namespaced_pod(
            job_id["namespace"], label_selector=f"{JOB_LABEL}={job_id['name']}"
        )
        return sorted(found.items, key=_index)


def _index(found: Any) -> int:
    return int((found.metadata.labels or {}).get(INDEX_LABEL, -1))


def _is_chief(found: Any) -> bool:
    return _index(found) == 0
