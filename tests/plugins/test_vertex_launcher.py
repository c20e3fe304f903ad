import dataclasses
import importlib.resources
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from tests.plugins.conftest import Request, Service

from boxloop_airflow.launchers import FAILED, GONE, OUT_OF_MEMORY, RUNNING, SUCCEEDED, Job, Status
from boxloop_airflow.launchers.vertex import (
    VertexLauncher,
    VertexOptions,
    custom_job,
    job_status,
)

OPTIONS = {"image": "eu.pkg.dev/p/trainer:1", "project": "p", "region": "europe-west4"}
PARENT = "/v1/projects/p/locations/europe-west4/customJobs"
NAME = "projects/1/locations/europe-west4/customJobs/42"
PYTHON_TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}


@pytest.fixture(scope="module")
def schemas() -> Any:
    """The types of Vertex AI's REST API, as Google describes them."""
    folder = importlib.resources.files("googleapiclient.discovery_cache") / "documents"
    return json.loads((folder / "aiplatform.v1.json").read_text())["schemas"]


@pytest.fixture
def launcher(service: Service) -> Iterator[VertexLauncher]:
    with requests.Session() as session:
        session.trust_env = False
        yield VertexLauncher(OPTIONS, session, api=service.url, logging_api=service.url)


def check(value: Any, schema: Any, schemas: Any, where: str = "CustomJob") -> None:
    """Check a value against a type of a discovery document."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"]]
    if schema.get("format") == "int64":
        assert str(int(value)) == value, where
    else:
        assert isinstance(value, PYTHON_TYPES[schema["type"]]), where
    assert value in schema.get("enum", [value]), where
    if schema["type"] == "array":
        for item in value:
            check(item, schema["items"], schemas, f"{where}[]")
    if schema["type"] == "object":
        for name, item in value.items():
            inner = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            assert inner, f"{where} has no {name}"
            check(item, inner, schemas, f"{where}.{name}")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"spot": True, "service_account": "trainer@p.iam.gserviceaccount.com"},
        {"accelerator_type": "NVIDIA_L4", "accelerator_count": 4, "environment": {"A": "1"}},
        {"accelerator_type": None},
        {"hosts": 4},
    ],
    ids=["defaults", "spot", "four GPUs", "no GPU", "four hosts"],
)
def test_vertex_own_types_hold_all_of_the_job(
    options: dict[str, Any], job: Job, schemas: Any
) -> None:
    rendered = custom_job(job, VertexOptions(**{**OPTIONS, **options}))
    check(rendered, schemas["GoogleCloudAiplatformV1CustomJob"], schemas)


def test_the_check_of_types_finds_what_is_wrong(job: Job, schemas: Any) -> None:
    rendered = custom_job(job, VertexOptions(**OPTIONS))  # type: ignore[arg-type]
    rendered["jobSpec"]["scheduling"]["spot"] = True
    with pytest.raises(AssertionError, match="scheduling has no spot"):
        check(rendered, schemas["GoogleCloudAiplatformV1CustomJob"], schemas)


def test_a_job_says_what_runs_where_and_whose_it_is(job: Job) -> None:
    options = VertexOptions(**{**OPTIONS, "spot": True})  # type: ignore[arg-type]
    rendered = custom_job(job, options)
    (pool,) = rendered["jobSpec"]["workerPoolSpecs"]
    assert pool["containerSpec"]["args"] == ["python", *job.arguments]
    assert pool["machineSpec"]["acceleratorType"] == "NVIDIA_TESLA_T4"
    assert rendered["jobSpec"]["scheduling"]["strategy"] == "SPOT"
    output = rendered["jobSpec"]["baseOutputDirectory"]["outputUriPrefix"]
    assert output == f"gs://bucket/runs/demo/vertex/{job.name}"
    assert rendered["labels"]["run_id"] == "manual__2026-11-22t18_00_00_00_00"


def test_of_several_hosts_one_is_the_chief_and_its_log_is_shown(service: Service, job: Job) -> None:
    rendered = custom_job(job, VertexOptions(**{**OPTIONS, "hosts": 4}))  # type: ignore[arg-type]
    chief, others = rendered["jobSpec"]["workerPoolSpecs"]
    assert (chief["replicaCount"], others["replicaCount"]) == ("1", "3")
    assert {**chief, "replicaCount": "3"} == others
    service.answers = {
        f"GET /v1/{NAME}": (200, {"state": "JOB_STATE_SUCCEEDED"}),
        "POST /v2/entries:list": (200, {}),
    }
    with requests.Session() as session:
        session.trust_env = False
        urls = {"api": service.url, "logging_api": service.url}
        launcher = VertexLauncher({**OPTIONS, "hosts": 4}, session, **urls)
        launcher.follow({"name": NAME}, None, lambda *_: None)
    (request,) = service.sent("POST /v2/entries:list")
    assert 'resource.labels.task_name="workerpool0-0"' in request.body["filter"]


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ({"state": "JOB_STATE_QUEUED"}, Status(RUNNING, None, "JOB_STATE_QUEUED")),
        ({"state": "JOB_STATE_SUCCEEDED"}, Status(SUCCEEDED, 0)),
        ({"state": "JOB_STATE_CANCELLED"}, Status(FAILED, None, "JOB_STATE_CANCELLED")),
        (
            {
                "state": "JOB_STATE_FAILED",
                "error": {
                    "code": 3,
                    "message": "The replica workerpool0-0 exited with a non-zero status of 2.",
                },
            },
            Status(FAILED, 2, "The replica workerpool0-0 exited with a non-zero status of 2."),
        ),
        (
            {
                "state": "JOB_STATE_FAILED",
                "error": {"message": "Replica workerpool0-0 was killed: Out of memory."},
            },
            Status(FAILED, None, OUT_OF_MEMORY),
        ),
    ],
    ids=lambda value: value.get("state", "") if isinstance(value, dict) else "",
)
def test_status(found: dict[str, Any], status: Status) -> None:
    assert job_status(found) == status


def test_a_job_is_created_and_stopped(launcher: VertexLauncher, service: Service, job: Job) -> None:
    service.answers = {
        f"POST {PARENT}": (200, {"name": NAME}),
        f"POST /v1/{NAME}:cancel": (200, {}),
    }
    assert launcher.submit(job) == {"name": NAME}
    launcher.stop({"name": NAME})
    assert service.sent(f"POST {PARENT}")[0].body["displayName"] == job.name
    assert service.sent(f"POST /v1/{NAME}:cancel")


def test_a_job_that_is_not_there_is_gone(launcher: VertexLauncher) -> None:
    assert launcher.status({"name": NAME}) == Status(GONE)
    launcher.stop({"name": NAME})


def test_a_refused_job_says_why(launcher: VertexLauncher, service: Service, job: Job) -> None:
    service.answers = {f"POST {PARENT}": (403, {"error": {"message": "no quota for GPUs"}})}
    with pytest.raises(RuntimeError, match=r"403.*no quota for GPUs"):
        launcher.submit(job)


def test_the_log_comes_page_by_page_and_goes_on_after_an_offset(
    launcher: VertexLauncher, service: Service
) -> None:
    def entries(request: Request) -> tuple[int, Any]:
        if "pageToken" not in request.body:
            first = {"timestamp": "2026-11-22T18:00:00.5Z", "textPayload": "one\n"}
            return 200, {"entries": [first], "nextPageToken": "more"}
        second = {"timestamp": "2026-11-22T18:00:01Z", "jsonPayload": {"message": "two"}}
        return 200, {"entries": [second]}

    service.answers = {
        f"GET /v1/{NAME}": (200, {"state": "JOB_STATE_SUCCEEDED"}),
        "POST /v2/entries:list": entries,
    }
    found: list[tuple[str, Any]] = []
    launcher.follow({"name": NAME}, None, lambda *each: found.append(each))
    assert found == [("one", "2026-11-22T18:00:00.5Z"), ("two", "2026-11-22T18:00:01Z")]
    launcher.follow({"name": NAME}, found[0][1], lambda *each: found.append(each))
    assert found[2:] == found[1:2]
    bodies = [request.body for request in service.sent("POST /v2/entries:list")]
    assert 'resource.labels.job_id="42"' in bodies[0]["filter"]
    assert 'timestamp>"2026-11-22T18:00:00.5Z"' in bodies[2]["filter"]


def test_a_run_in_a_folder_is_refused(launcher: VertexLauncher, job: Job) -> None:
    with pytest.raises(ValueError, match="set the artifact root"):
        launcher.submit(dataclasses.replace(job, run_uri="/home/me/runs/demo"))
