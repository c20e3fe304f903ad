import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kubernetes import client
from tests.plugins.conftest import Request, Service

from boxloop_airflow.launchers import FAILED, GONE, OUT_OF_MEMORY, RUNNING, SUCCEEDED, Job, Status
from boxloop_airflow.launchers.kubernetes import (
    KubernetesLauncher,
    KubernetesOptions,
    pod,
    pod_status,
)

OPTIONS = {
    "image": "registry/trainer:1",
    "namespace": "training",
    "node_selector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
    "tolerations": [
        {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true"},
    ],
    "service_account": "boxloop",
    "secrets": ["registry-token"],
    "environment": {"TF_GPU_ALLOCATOR": "cuda_malloc_async"},
    "timeout_seconds": 86400,
}
PODS = "/api/v1/namespaces/training/pods"
NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)


@pytest.fixture
def api(service: Service) -> Iterator[client.CoreV1Api]:
    configuration = client.Configuration()
    configuration.host = service.url
    configuration.proxy = None
    with client.ApiClient(configuration) as connection:
        yield client.CoreV1Api(connection)
        connection.rest_client.pool_manager.clear()


@pytest.fixture
def launcher(api: client.CoreV1Api) -> KubernetesLauncher:
    return KubernetesLauncher(OPTIONS, api)


def job_id(job: Job) -> dict[str, str]:
    return {"namespace": "training", "name": job.name}


def read_pod(text: Any) -> Any:
    """Return a pod as Kubernetes' own client reads it."""
    return client.ApiClient().deserialize(json.dumps(text), "V1Pod", "application/json")


def found(phase: str, state: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    """Return a pod as the API gives it."""
    image = {"name": "trainer", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    states = [{**image, "state": state}] if state else []
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "trainer"}]},
        "status": {"phase": phase, "containerStatuses": states, **status},
    }


def test_kubernetes_own_model_reads_all_of_the_pod(job: Job) -> None:
    rendered = pod(job, KubernetesOptions(**OPTIONS))  # type: ignore[arg-type]
    read = client.ApiClient().sanitize_for_serialization(read_pod(rendered))
    assert read == rendered  # what it does not know, it would have dropped


def test_the_pod_asks_for_gpus_and_goes_where_they_are(job: Job) -> None:
    options = KubernetesOptions(**{**OPTIONS, "gpus": 2})  # type: ignore[arg-type]
    spec = pod(job, options)["spec"]
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert spec["nodeSelector"] == OPTIONS["node_selector"]
    assert spec["tolerations"] == OPTIONS["tolerations"]
    assert spec["serviceAccountName"] == "boxloop"
    assert spec["restartPolicy"] == "Never"
    assert spec["terminationGracePeriodSeconds"] == 60
    assert container["args"] == ["python", *job.arguments]


def test_a_pod_without_a_gpu_names_none(job: Job) -> None:
    rendered = pod(job, KubernetesOptions(image="i", gpus=0))
    assert "nvidia" not in json.dumps(rendered)
    assert set(rendered["spec"]) == {
        *("containers", "restartPolicy", "terminationGracePeriodSeconds", "volumes"),
    }


def test_a_pod_says_whose_it_is(job: Job) -> None:
    metadata = pod(job, KubernetesOptions(image="i"))["metadata"]
    assert metadata["labels"]["boxloop/dag_id"] == "active_learning"
    assert metadata["labels"]["boxloop/run_id"] == "manual__2026-11-22T18_00_00_00_00"
    assert metadata["annotations"]["boxloop/run_id"] == job.owner["run_id"]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        pytest.param(found("Pending"), Status(RUNNING), id="new"),
        pytest.param(
            found(
                "Pending",
                conditions=[
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/3 nodes have a GPU",
                    }
                ],
            ),
            Status(RUNNING, reason="Unschedulable: 0/3 nodes have a GPU"),
            id="no machine",
        ),
        pytest.param(
            found("Pending", {"waiting": {"reason": "ContainerCreating"}}),
            Status(RUNNING, reason="ContainerCreating"),
            id="pulling",
        ),
        pytest.param(
            found("Pending", {"waiting": {"reason": "InvalidImageName", "message": "a b"}}),
            Status(FAILED, 2, "InvalidImageName: a b"),
            id="wrong image",
        ),
        pytest.param(found("Running", {"running": {}}), Status(RUNNING), id="running"),
        pytest.param(
            found("Succeeded", {"terminated": {"exitCode": 0}}), Status(SUCCEEDED, 0), id="done"
        ),
        pytest.param(
            found("Failed", {"terminated": {"exitCode": 2, "reason": "Error"}}),
            Status(FAILED, 2),
            id="hopeless",
        ),
        pytest.param(
            found("Failed", {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            Status(FAILED, 137, OUT_OF_MEMORY),
            id="out of memory",
        ),
        pytest.param(
            found("Failed", {"terminated": {"exitCode": 143}}, reason="Preempted"),
            Status(FAILED, 143, "Preempted"),
            id="preempted",
        ),
        pytest.param(
            found("Failed", reason="Evicted", message="disk pressure"),
            Status(FAILED, None, "Evicted: disk pressure"),
            id="evicted",
        ),
    ],
)
def test_status(given: dict[str, Any], status: Status) -> None:
    assert pod_status(read_pod(given), NOW) == status


@pytest.mark.parametrize(("minutes", "state"), [(1, RUNNING), (3, GONE)])
def test_a_pod_whose_machine_died_is_gone_some_time_after_it_should_have_ended(
    minutes: int, state: str
) -> None:
    given = found("Running", {"running": {}})
    given["metadata"]["deletionTimestamp"] = (NOW - timedelta(minutes=minutes)).isoformat()
    assert pod_status(read_pod(given), NOW).state == state


def test_a_pod_that_is_not_there_is_gone(launcher: KubernetesLauncher, job: Job) -> None:
    assert launcher.status(job_id(job)) == Status(GONE)
    launcher.stop(job_id(job))
    launcher.remove(job_id(job))
    lines: list[str] = []
    launcher.follow(job_id(job), None, lambda line, offset: lines.append(line))
    assert lines == []


def test_a_pod_is_created_followed_and_deleted(
    launcher: KubernetesLauncher, service: Service, job: Job
) -> None:
    path = f"{PODS}/{job.name}"
    stamp = "2026-11-22T18:00:00.5Z"
    service.answers = {
        f"POST {PODS}": lambda request: (201, request.body),
        f"GET {path}": (200, found("Succeeded", {"terminated": {"exitCode": 0}})),
        f"GET {path}/log": (200, f"{stamp} one\n2026-11-22T18:00:01Z two\n".encode()),
        f"DELETE {path}": (200, found("Succeeded")),
    }
    assert launcher.submit(job) == job_id(job)
    lines: list[str] = []
    launcher.follow(job_id(job), None, lambda line, offset: lines.append(line))
    launcher.follow(job_id(job), stamp, lambda line, offset: lines.append(line))
    launcher.remove(job_id(job))
    assert lines == ["one", "two", "two"]
    first, again = service.sent(f"GET {path}/log")
    assert first.query["timestamps"] == ["true"]
    assert int(again.query["sinceSeconds"][0]) > 0
    assert service.sent(f"POST {PODS}")[0].body["metadata"]["name"] == job.name
    assert service.sent(f"DELETE {path}")


def test_a_log_that_is_not_there_yet_is_waited_for(
    launcher: KubernetesLauncher,
    service: Service,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("boxloop_airflow.launchers.stamped.POLL_SECONDS", 0)
    path = f"{PODS}/{job.name}"
    states = [found("Pending"), found("Succeeded", {"terminated": {"exitCode": 0}})]

    def log(request: Request) -> tuple[int, Any]:
        if len(service.sent(f"GET {path}/log")) == 1:
            return 400, {"message": "is waiting to start: ContainerCreating"}
        return 200, b"2026-11-22T18:00:00Z one\n"

    service.answers = {
        f"GET {path}": lambda request: (200, states.pop(0)),
        f"GET {path}/log": log,
    }
    lines: list[str] = []
    launcher.follow(job_id(job), None, lambda line, offset: lines.append(line))
    assert lines == ["one"]


def test_a_run_in_a_folder_is_refused(launcher: KubernetesLauncher, job: Job) -> None:
    with pytest.raises(ValueError, match="set the artifact root"):
        launcher.submit(dataclasses.replace(job, run_uri="/home/me/runs/demo"))
