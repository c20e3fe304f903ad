"""Training in a pod of a Kubernetes cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from boxloop.child import INPUT_ERROR, TENSORFLOW
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

if TYPE_CHECKING:
    from boxloop_airflow.launchers.kubernetes_hosts import Group

CONTAINER = "trainer"
LOST_AFTER = timedelta(minutes=2)
"""Beyond its time to end: the machine of such a pod does not answer any more."""
WRONG = ("InvalidImageName", "CreateContainerConfigError")
"""Reasons of a container that will never start."""


@dataclass(frozen=True, kw_only=True)
class KubernetesOptions:
    """The pod that trains."""

    image: str
    """As built from docker/trainer.Dockerfile, in a registry that the cluster reaches."""
    namespace: str = "default"
    hosts: int = 1
    """Pods that train together, each with all that is said here of one: as many as
    train.device.strategy multi_worker is to have. They talk to each other on port 2222."""
    gpus: int = 1
    gpu_resource: str = "nvidia.com/gpu"
    cpu: str = "4"
    """CPUs: what is asked for, and the limit."""
    memory: str = "16Gi"
    """Memory: what is asked for, and the limit."""
    shared_memory: str = "2Gi"
    """Size of /dev/shm, a part of the memory."""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels of the machines to choose from, such as cloud.google.com/gke-accelerator."""
    tolerations: Sequence[Mapping[str, Any]] = ()
    """Kubernetes tolerations, such as those of preemptible machines."""
    service_account: str | None = None
    """May read and write the bucket."""
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ()
    """Names of secrets whose entries become environment variables."""
    grace_seconds: int = 60
    """Between SIGTERM and SIGKILL: the time to save."""
    timeout_seconds: int | None = None
    """The most that a pod may take."""
    kubeconfig: str | None = None
    """By default the cluster that Airflow runs in, else ~/.kube/config."""
    context: str | None = None
    """Of the kubeconfig."""


def pod(job: Job, options: KubernetesOptions) -> dict[str, Any]:
    """Return a pod as Kubernetes reads it."""
    environment = {**TENSORFLOW, **options.environment, **job.environment}
    limits = {"cpu": options.cpu, "memory": options.memory}
    if options.gpus:
        limits[options.gpu_resource] = str(options.gpus)
    container = {
        "name": CONTAINER,
        "image": options.image,
        "args": ["python", *job.arguments],  # not command: the image's entry point passes SIGTERM
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "envFrom": [{"secretRef": {"name": name}} for name in options.secrets],
        "resources": {"requests": dict(limits), "limits": limits},
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
    }
    spec = {
        "restartPolicy": "Never",  # Airflow tries again, and knows when not to
        "containers": [container],
        "volumes": [
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": options.shared_memory}}
        ],
        "nodeSelector": dict(options.node_selector),
        "tolerations": [dict(each) for each in options.tolerations],
        "serviceAccountName": options.service_account,
        "terminationGracePeriodSeconds": options.grace_seconds,
        "activeDeadlineSeconds": options.timeout_seconds,
    }
    metadata = {
        "name": job.name,
        "labels": {"app.kubernetes.io/name": "boxloop", **_labels(job.owner)},
        "annotations": {f"boxloop/{name}": value for name, value in job.owner.items()},
    }
    given = {name: value for name, value in spec.items() if value not in (None, {}, [])}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": given}


def pod_status(found: Any, now: datetime) -> Status:
    """Return how a pod is.

    Args:
        found: a `V1Pod` as the API gives it.
        now: the time, with its zone.
    """
    deadline = found.metadata.deletion_timestamp
    if deadline is not None and now > deadline + LOST_AFTER:
        return Status(GONE, reason="its machine does not answer any more")
    state = _container_state(found)
    if found.status.phase in ("Succeeded", "Failed"):
        return _end(found, state.terminated if state else None)
    waiting = state.waiting if state else None
    if waiting is not None and waiting.reason in WRONG:
        return Status(FAILED, INPUT_ERROR, f"{waiting.reason}: {waiting.message}")
    if waiting is not None:
        return Status(RUNNING, reason=": ".join(filter(None, (waiting.reason, waiting.message))))
    return Status(RUNNING, reason=_unschedulable(found))


class KubernetesLauncher:
    """Runs jobs as pods; a job's id is namespace and name of the pod."""

    def __init__(self, options: Mapping[str, Any], api: client.CoreV1Api | None = None) -> None:
        self._options = build_options(KubernetesOptions, options, "kubernetes")
        self._api = api or _connect(self._options)

    def submit(self, job: Job) -> JobId:
        """Create a pod."""
        need_bucket(job, "kubernetes")
        if self._options.hosts > 1:
            return self._group.submit(job)
        namespace = self._options.namespace
        self._api.create_namespaced_pod(namespace, pod(job, self._options))
        return {"namespace": namespace, "name": job.name}

    def status(self, job_id: JobId) -> Status:
        """Return how a pod is; one that waits for a machine is running."""
        if "hosts" in job_id:
            return self._group.status(job_id)
        try:
            return pod_status(self._api.read_namespaced_pod(**job_id), datetime.now(UTC))
        except ApiException as error:
            if error.status == 404:
                return Status(GONE)
            raise

    def follow(self, job_id: JobId, offset: str | None, on_line: OnLine) -> None:
        """Hand on what a pod prints; the offset is the time of a line."""

        def read(offset: str | None) -> Iterator[str]:
            since = {"since_seconds": _age(offset)} if offset else {}
            where = self._group.chief(job_id) if "hosts" in job_id else job_id
            if where is None:  # not started yet
                return
            try:
                stream = self._api.read_namespaced_pod_log(
                    **where,
                    **since,
                    container=CONTAINER,
                    follow=True,
                    timestamps=True,
                    _preload_content=False,
                )
            except ApiException as error:
                if error.status in (400, 404):  # not started yet, or gone
                    return
                raise
            with stream:
                yield from stamped.whole_lines(stream.stream())

        errors = (ApiException, HTTPError)
        stamped.follow(read, lambda: self.status(job_id), offset, on_line, errors=errors)

    def stop(self, job_id: JobId) -> None:
        """Delete a pod, which gives it time to save."""
        if "hosts" in job_id:
            self._group.stop(job_id)
            return
        try:
            self._api.delete_namespaced_pod(**job_id)
        except ApiException as error:
            if error.status != 404:
                raise

    remove = stop

    @property
    def _group(self) -> Group:
        from boxloop_airflow.launchers.kubernetes_hosts import Group

        return Group(self._api, self._options)


def _connect(options: KubernetesOptions) -> client.CoreV1Api:
    if options.kubeconfig or options.context:
        config.load_kube_config(options.kubeconfig, options.context)
    else:
        config.load_config()
    return client.CoreV1Api()


def _container_state(found: Any) -> Any:
    statuses = found.status.container_statuses or []
    return statuses[0].state if statuses else None


def _end(found: Any, terminated: Any) -> Status:
    if terminated is None:  # evicted, preempted, past its deadline
        reasons = (found.status.reason, found.status.message)
        return Status(FAILED, reason=": ".join(filter(None, reasons)))
    if terminated.reason == "OOMKilled":
        return Status(FAILED, terminated.exit_code, OUT_OF_MEMORY)
    code = terminated.exit_code
    return Status(FAILED if code else SUCCEEDED, code, found.status.reason or "")


def _unschedulable(found: Any) -> str:
    """Return why a pod has no machine yet, or ""."""
    for condition in found.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"{condition.reason}: {condition.message}"
    return ""


def _labels(owner: Mapping[str, str]) -> dict[str, str]:
    """Return labels to select by; their characters are few, annotations have the full text."""
    cut = {name: re.sub(r"[^A-Za-z0-9_.-]", "_", value)[:63] for name, value in owner.items()}
    return {f"boxloop/{name}": value.strip("_.-") for name, value in cut.items()}


def _age(stamp: str) -> int:
    """Return how many seconds ago a time was, and some more, since clocks differ."""
    return max(1, int(datetime.now(UTC).timestamp()) - stamped.seconds(stamp) + 10)
