"""Several pods that train together: what is rendered, and what becomes of it at an API server."""

import dataclasses
import json
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from tests.plugins.conftest import Request, Service
from tests.plugins.test_kubernetes_launcher import NOW, OPTIONS, PODS, api, found, read_pod

from boxloop import hosts
from boxloop_airflow.launchers import FAILED, GONE, OUT_OF_MEMORY, RUNNING, SUCCEEDED, Job, Status
from boxloop_airflow.launchers.kubernetes import KubernetesLauncher, KubernetesOptions
from boxloop_airflow.launchers.kubernetes_hosts import headless_service, indexed_job, job_status

__all__ = ["api"]
HOSTS = {**OPTIONS, "hosts": 3}
JOBS = "/apis/batch/v1/namespaces/training/jobs"
SERVICES = "/api/v1/namespaces/training/services"
DONE = {"terminated": {"exitCode": 0}}


@pytest.fixture
def launcher(api: client.CoreV1Api) -> KubernetesLauncher:
    return KubernetesLauncher(HOSTS, api)


def job_id(job: Job) -> dict[str, Any]:
    return {"namespace": "training", "name": job.name, "hosts": 3}


def read(text: Any, kind: str) -> Any:
    return client.ApiClient().deserialize(json.dumps(text), kind, "application/json")


def made(request: Request) -> tuple[int, Any]:
    """Answer as the API does to a new Job."""
    return 201, {**request.body, "metadata": {**request.body["metadata"], "uid": "1f"}}


def numbered(index: int, phase: str, state: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a pod of a Job as the API gives it."""
    labels = {"batch.kubernetes.io/job-completion-index": str(index)}
    return {**found(phase, state), "metadata": {"name": f"p-{index}-x", "labels": labels}}


def test_kubernetes_own_models_read_all_of_the_job_and_the_service(job: Job) -> None:
    options = KubernetesOptions(**HOSTS)  # type: ignore[arg-type]
    for rendered, kind in (
        (indexed_job(job, options), "V1Job"),
        (headless_service(job, "1f"), "V1Service"),
    ):
        assert client.ApiClient().sanitize_for_serialization(read(rendered, kind)) == rendered


def test_each_pod_is_told_where_all_are_and_learns_its_number_from_kubernetes(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = indexed_job(job, KubernetesOptions(**HOSTS))  # type: ignore[arg-type]
    spec = rendered["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert spec["backoffLimit"] == 0
    given = spec["template"]["spec"]
    environment = {each["name"]: each["value"] for each in given["containers"][0]["env"]}
    assert environment["BOXLOOP_HEARTBEAT"] == job.environment["BOXLOOP_HEARTBEAT"]
    # <pod's hostname>.<subdomain>, which is the service: that is how DNS calls a pod of a Job
    names = [f"{job.name}-{index}.{given['subdomain']}:2222" for index in range(3)]
    assert environment[hosts.HOSTS].split(",") == names
    assert given["subdomain"] == headless_service(job, "1f")["metadata"]["name"]
    assert len(f"{job.name}-{2}") <= 63
    monkeypatch.setenv(hosts.TF_CONFIG, "")
    monkeypatch.delenv(hosts.TF_CONFIG)
    for name in (hosts.HOSTS, "JOB_COMPLETION_INDEX"):
        monkeypatch.setenv(name, environment.get(name, "2"))
    hosts.join()
    assert (hosts.num_hosts(), hosts.is_chief()) == (3, False)


@pytest.mark.parametrize(
    ("pods", "status"),
    [
        pytest.param([], Status(RUNNING), id="no pod yet"),
        pytest.param([numbered(0, "Running"), numbered(1, "Pending")], Status(RUNNING), id="runs"),
        pytest.param(
            [numbered(0, "Succeeded", DONE), numbered(1, "Running")],
            Status(SUCCEEDED, 0),
            id="done",
        ),
        pytest.param(
            [numbered(0, "Running"), numbered(1, "Failed", {"terminated": {"exitCode": 137}})],
            Status(FAILED, 137),
            id="one is killed",
        ),
        pytest.param(
            [
                numbered(0, "Failed", {"terminated": {"exitCode": 1}}),
                numbered(1, "Failed", {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            ],
            Status(FAILED, 137, OUT_OF_MEMORY),
            id="one is out of memory",
        ),
    ],
)
def test_status(pods: list[Any], status: Status) -> None:
    job = read({"spec": {"template": {}}, "status": {}}, "V1Job")
    assert job_status(job, [read_pod(each) for each in pods], NOW) == status


def test_a_job_that_kubernetes_gave_up_has_failed() -> None:
    condition = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}
    job = read({"spec": {"template": {}}, "status": {"conditions": [condition]}}, "V1Job")
    assert job_status(job, [], NOW) == Status(FAILED, reason="DeadlineExceeded")


def test_a_job_is_created_followed_by_its_chief_and_deleted(
    launcher: KubernetesLauncher, service: Service, job: Job
) -> None:
    pods = [numbered(1, "Running"), numbered(0, "Succeeded", DONE)]
    one_job: dict[str, Any] = {"spec": {"template": {}}, "status": {}}
    service.answers = {
        f"POST {SERVICES}": lambda request: (201, request.body),
        f"POST {JOBS}": made,
        f"GET {JOBS}/{job.name}": (200, one_job),
        f"GET {PODS}": (200, {"items": pods}),
        f"GET {PODS}/p-0-x/log": (200, b"2026-11-22T18:00:00Z one\n"),
        f"DELETE {JOBS}/{job.name}": (200, {}),
    }
    assert launcher.submit(job) == job_id(job)
    assert launcher.status(job_id(job)) == Status(SUCCEEDED, 0)
    lines: list[str] = []
    launcher.follow(job_id(job), None, lambda line, offset: lines.append(line))
    launcher.remove(job_id(job))
    assert lines == ["one"]
    selector = service.sent(f"GET {PODS}")[0].query["labelSelector"]
    assert selector == [f"batch.kubernetes.io/job-name={job.name}"]
    (deleted,) = service.sent(f"DELETE {JOBS}/{job.name}")
    assert deleted.query["propagationPolicy"] == ["Background"]  # with all that it owns
    (owner,) = service.sent(f"POST {SERVICES}")[0].body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", job.name, "1f")


@pytest.mark.parametrize(("status", "deleted"), [(201, 1), (403, 0)], ids=["service", "Job"])
def test_where_one_cannot_be_made_neither_is_left(
    launcher: KubernetesLauncher, service: Service, job: Job, status: int, deleted: int
) -> None:
    service.answers = {
        f"POST {JOBS}": lambda request: (status, made(request)[1]),
        f"POST {SERVICES}": (403, {}),
        f"DELETE {JOBS}/{job.name}": (200, {}),
    }
    with pytest.raises(ApiException, match="403"):
        launcher.submit(job)
    assert len(service.sent(f"DELETE {JOBS}/{job.name}")) == deleted
    assert len(service.sent(f"POST {SERVICES}")) == deleted


def test_a_job_that_is_not_there_is_gone(launcher: KubernetesLauncher, job: Job) -> None:
    assert launcher.status(job_id(job)) == Status(GONE)
    launcher.stop(job_id(job))


def test_a_run_in_a_folder_is_refused(launcher: KubernetesLauncher, job: Job) -> None:
    with pytest.raises(ValueError, match="set the artifact root"):
        launcher.submit(dataclasses.replace(job, run_uri="/home/me/runs/demo"))
