"""Training in a container of a Docker daemon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.types import DeviceRequest, Mount
from requests.exceptions import RequestException

from boxloop.child import TENSORFLOW
from boxloop.storage import is_remote
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
    stamped,
)

ALIVE = ("created", "running", "paused", "restarting")


@dataclass(frozen=True, kw_only=True)
class DockerOptions:
    """The container that trains."""

    image: str
    """As built from docker/trainer.Dockerfile."""
    gpus: int = -1
    """How many; -1: all there are. With several, train.device.strategy mirrored uses them all."""
    shared_memory: str = "2g"
    """Size of /dev/shm."""
    memory: str | None = None
    """Most memory it may take, such as 16g."""
    mounts: Mapping[str, str] = field(default_factory=dict)
    """Folder of the daemon's machine to folder of the container. A run in a folder needs to be
    at the same path in both."""
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    """As id:group; whoever owns the mounted folders."""
    network: str | None = None
    host: str | None = None
    """Address of the daemon; by default $DOCKER_HOST, else its socket here."""


def container_settings(job: Job, options: DockerOptions) -> dict[str, Any]:
    """Return the arguments of the Docker client's `containers.run`."""
    gpus = DeviceRequest(count=options.gpus, capabilities=[["gpu"]])
    return {
        "image": options.image,
        "command": ["python", *job.arguments],
        "name": job.name,
        "environment": {**TENSORFLOW, **options.environment, **job.environment},
        "labels": {f"boxloop.{name}": value for name, value in job.owner.items()},
        "device_requests": [gpus] if options.gpus else [],
        "shm_size": options.shared_memory,
        "mem_limit": options.memory,
        "mounts": [Mount(target, source, type="bind") for source, target in options.mounts.items()],
        "user": options.user,
        "network": options.network,
        "detach": True,
    }


def _need_mount(job: Job, mounts: Mapping[str, str]) -> None:
    folders = [Path(target) for target in mounts.values()]
    if not is_remote(job.run_uri) and not any(Path(job.run_uri).is_relative_to(f) for f in folders):
        raise ValueError(
            f"launcher docker: no container sees {job.run_uri}; mount the artifact root at its own "
            'path, as {"mounts": {"/data/runs": "/data/runs"}}, or set it to gs://bucket/prefix'
        )


class DockerLauncher:
    """Runs jobs as containers; a job's id is the container's."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = build_options(DockerOptions, options, "docker")
        host = self._options.host
        self._client = docker.DockerClient(base_url=host) if host else docker.from_env()

    def submit(self, job: Job) -> JobId:
        """Start a container; an image that is not there is pulled."""
        _need_mount(job, self._options.mounts)
        container = self._client.containers.run(**container_settings(job, self._options))
        return {"container": container.id}

    def status(self, job_id: JobId) -> Status:
        """Return how a container is."""
        try:
            state = self._client.containers.get(job_id["container"]).attrs["State"]
        except NotFound:
            return Status(GONE)
        if state["Status"] in ALIVE:
            return Status(RUNNING)
        code = int(state["ExitCode"])
        reason = OUT_OF_MEMORY if state.get("OOMKilled") else str(state.get("Error") or "")
        return Status(FAILED if code else SUCCEEDED, code, reason)

    def follow(self, job_id: JobId, offset: str | None, on_line: OnLine) -> None:
        """Hand on what a container prints; the offset is the time of a line."""

        def read(offset: str | None) -> Iterator[str]:
            since = {"since": stamped.seconds(offset)} if offset else {}
            try:
                container = self._client.containers.get(job_id["container"])
            except NotFound:
                return
            yield from stamped.whole_lines(
                container.logs(stream=True, follow=True, timestamps=True, **since)
            )

        errors = (APIError, RequestException)
        stamped.follow(read, lambda: self.status(job_id), offset, on_line, errors=errors)

    def stop(self, job_id: JobId) -> None:
        """Send SIGTERM to a container's command."""
        try:
            self._client.containers.get(job_id["container"]).kill("SIGTERM")
        except NotFound:
            return
        except APIError as error:
            if error.status_code != 409:  # it does not run any more
                raise

    def remove(self, job_id: JobId) -> None:
        """Delete a container that has ended."""
        try:
            self._client.containers.get(job_id["container"]).remove(force=True)
        except NotFound:
            return
