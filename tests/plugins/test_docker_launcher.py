import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from docker.models.containers import _create_container_args
from tests.plugins.conftest import Service

from boxloop_airflow.launchers import FAILED, GONE, OUT_OF_MEMORY, RUNNING, SUCCEEDED, Job, Status
from boxloop_airflow.launchers.docker import DockerLauncher, DockerOptions, container_settings

API = "/v1.47"
ID = "c0ffee"
JOB_ID = {"container": ID}


@pytest.fixture
def daemon(service: Service) -> Service:
    """A daemon with one container."""
    service.answers = {
        "GET /version": (200, {"ApiVersion": "1.47"}),
        f"POST {API}/containers/create": (201, {"Id": ID}),
        f"POST {API}/containers/{ID}/start": (204, b""),
    }
    in_state(service, Status="running", ExitCode=0)
    return service


@pytest.fixture
def launcher(daemon: Service) -> Iterator[DockerLauncher]:
    options = {"image": "trainer", "host": daemon.url, "mounts": {"/data/runs": "/data/runs"}}
    launcher = DockerLauncher({**options, "user": "1000:1000", "memory": "8g"})
    yield launcher
    launcher._client.close()


def in_state(daemon: Service, **state: Any) -> None:
    found = {"Id": ID, "State": state, "Config": {"Tty": False}}
    daemon.answers[f"GET {API}/containers/{ID}/json"] = (200, found)


def frame(text: str) -> bytes:
    """Return output as the daemon sends it: stream, length, text."""
    data = text.encode()
    return bytes([1, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def test_the_docker_client_takes_every_setting(job: Job) -> None:
    settings = container_settings(job, DockerOptions(image="trainer", gpus=2, network="host"))
    settings.pop("detach")
    sent = _create_container_args({**settings, "version": "1.47"})
    assert sent["command"] == ["python", *job.arguments]


def test_a_container_has_the_gpus_the_memory_and_the_folders(
    launcher: DockerLauncher, daemon: Service, job: Job
) -> None:
    assert launcher.submit(job) == JOB_ID
    (request,) = daemon.sent(f"POST {API}/containers/create")
    body, host = request.body, request.body["HostConfig"]
    assert request.query["name"] == [job.name]
    assert (body["Image"], body["User"]) == ("trainer", "1000:1000")
    assert body["Cmd"] == ["python", *job.arguments]
    assert f"BOXLOOP_HEARTBEAT={job.environment['BOXLOOP_HEARTBEAT']}" in body["Env"]
    assert "TF_USE_LEGACY_KERAS=1" in body["Env"]
    assert body["Labels"]["boxloop.task_id"] == "round.train"
    (gpus,) = host["DeviceRequests"]
    assert (gpus["Count"], gpus["Capabilities"]) == (-1, [["gpu"]])
    assert (host["ShmSize"], host["Memory"]) == (2 * 2**30, 8 * 2**30)
    mounts = [(mount["Source"], mount["Target"]) for mount in host["Mounts"]]
    assert mounts == [("/data/runs", "/data/runs")]
    assert daemon.sent(f"POST {API}/containers/{ID}/start")


def test_no_gpu_is_asked_for_where_none_is_wanted(job: Job) -> None:
    assert container_settings(job, DockerOptions(image="i", gpus=0))["device_requests"] == []


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ({"Status": "created", "ExitCode": 0}, Status(RUNNING)),
        ({"Status": "running", "ExitCode": 0}, Status(RUNNING)),
        ({"Status": "exited", "ExitCode": 0}, Status(SUCCEEDED, 0)),
        ({"Status": "exited", "ExitCode": 2}, Status(FAILED, 2)),
        (
            {"Status": "exited", "ExitCode": 137, "OOMKilled": True},
            Status(FAILED, 137, OUT_OF_MEMORY),
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_status(
    launcher: DockerLauncher, daemon: Service, state: dict[str, Any], status: Status
) -> None:
    in_state(daemon, **state)
    assert launcher.status(JOB_ID) == status


def test_a_container_that_is_not_there_is_gone(launcher: DockerLauncher) -> None:
    assert launcher.status({"container": "other"}) == Status(GONE)
    launcher.stop({"container": "other"})
    launcher.remove({"container": "other"})


def test_the_log_is_followed_and_goes_on_after_an_offset(
    launcher: DockerLauncher, daemon: Service
) -> None:
    log = f"GET {API}/containers/{ID}/logs"
    first, second = "2026-11-22T18:00:00.500000000Z", "2026-11-22T18:00:01.000000000Z"
    daemon.answers[log] = (200, frame(f"{first} one\n{second} tw") + frame("o\n"))
    in_state(daemon, Status="exited", ExitCode=0)
    found: list[tuple[str, str]] = []
    launcher.follow(JOB_ID, None, lambda *each: found.append(each))
    assert found == [("one", first), ("two", second)]
    launcher.follow(JOB_ID, first, lambda *each: found.append(each))
    assert found[2:] == [("two", second)]
    assert daemon.sent(log)[1].query["since"] == ["1795370400"]


def test_stop_sends_sigterm_and_remove_deletes(launcher: DockerLauncher, daemon: Service) -> None:
    daemon.answers |= {
        f"POST {API}/containers/{ID}/kill": (204, b""),
        f"DELETE {API}/containers/{ID}": (204, b""),
    }
    launcher.stop(JOB_ID)
    launcher.remove(JOB_ID)
    (kill,) = daemon.sent(f"POST {API}/containers/{ID}/kill")
    assert kill.query["signal"] == ["SIGTERM"]
    assert daemon.sent(f"DELETE {API}/containers/{ID}")


def test_a_container_that_has_ended_cannot_be_stopped_and_need_not(
    launcher: DockerLauncher, daemon: Service
) -> None:
    route = f"POST {API}/containers/{ID}/kill"
    daemon.answers[route] = (409, {"message": "is not running"})
    launcher.stop(JOB_ID)
    assert daemon.sent(route)


def test_a_run_that_no_container_sees_is_refused(launcher: DockerLauncher, job: Job) -> None:
    here = dataclasses.replace(job, run_uri="/data/runs/experiments/demo")
    elsewhere = dataclasses.replace(job, run_uri="/home/me/runs/demo")
    assert launcher.submit(here) == JOB_ID
    with pytest.raises(ValueError, match="mount the artifact root at its own path"):
        launcher.submit(elsewhere)
