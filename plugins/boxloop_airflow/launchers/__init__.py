"""Where training runs: a process here, a container, a pod, a job on Vertex AI."""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Protocol, TypeVar, get_args, get_origin, get_type_hints

from boxloop.child import INPUT_ERROR
from boxloop.json_text import json_object
from boxloop.storage import is_remote

LAUNCHER = "BOXLOOP_LAUNCHER"
LAUNCHER_OPTIONS = "BOXLOOP_LAUNCHER_OPTIONS"
LAUNCHERS = {
    "local": "boxloop_airflow.launchers.local:LocalLauncher",
    "docker": "boxloop_airflow.launchers.docker:DockerLauncher",
    "kubernetes": "boxloop_airflow.launchers.kubernetes:KubernetesLauncher",
    "vertex": "boxloop_airflow.launchers.vertex:VertexLauncher",
}
RUNNING, SUCCEEDED, FAILED, GONE = "running", "succeeded", "failed", "gone"
OUT_OF_MEMORY = "out of memory"
KINDS = {
    bool: "true or false",
    int: "a whole number",
    str: "text",
    Sequence: "a list",
    Mapping: "an object",
}
"""What an option may be, and what JSON calls it."""

T = TypeVar("T")
JobId = dict[str, Any]
"""What finds a job again, from any worker: JSON."""
OnLine = Callable[[str, Any], None]
"""Gets a line of a job's log, and the offset after it."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A command of `python -m boxloop`, and what is to be known of it."""

    name: str
    """Lower case letters, digits and hyphens, 63 at the most; no two jobs have the same."""
    arguments: list[str]
    """Of the Python interpreter: -m boxloop step ..."""
    run_uri: str
    """The folder or gs:// prefix that it reads and writes."""
    environment: Mapping[str, str] = field(default_factory=dict)
    owner: Mapping[str, str] = field(default_factory=dict)
    """The task that it works for: dag_id, run_id, task_id and so on."""


@dataclass(frozen=True)
class Status:
    """How a job is."""

    state: str
    """running (also: waiting for a machine), succeeded, failed; gone: nothing is known of it."""
    exit_code: int | None = None
    reason: str = ""
    """What the provider says, in a few words."""

    @property
    def is_hopeless(self) -> bool:
        """Whether another attempt would end in the same way."""
        return self.exit_code == INPUT_ERROR or self.reason == OUT_OF_MEMORY


class Launcher(Protocol):
    """Starts jobs that live on when the process that started them dies, and finds them again."""

    def submit(self, job: Job) -> JobId:
        """Start a job."""

    def status(self, job_id: JobId) -> Status:
        """Return how a job is now."""

    def follow(self, job_id: JobId, offset: Any, on_line: OnLine) -> None:
        """Hand on each line that a job prints, until it has ended.

        Args:
            job_id: the job.
            offset: as `on_line` was given it: go on after that line; None: from the start.
            on_line: called with each line.
        """

    def stop(self, job_id: JobId) -> None:
        """Ask a job to save and end; returns at once."""

    def remove(self, job_id: JobId) -> None:
        """Clear away what is left of a job that has ended."""


def make_launcher(name: str | None = None, options: Mapping[str, Any] | None = None) -> Launcher:
    """Return a launcher.

    Args:
        name: local, docker, kubernetes or vertex; None: $BOXLOOP_LAUNCHER, else local.
        options: of that launcher; None: the JSON object in $BOXLOOP_LAUNCHER_OPTIONS, if any.

    Raises:
        ValueError: if there is no such launcher or option, or its package is not installed.
    """
    chosen = name or launcher_name()
    if chosen not in LAUNCHERS:
        raise ValueError(f"{LAUNCHER} must be one of {', '.join(LAUNCHERS)}, got {chosen!r}")
    module, _, class_name = LAUNCHERS[chosen].partition(":")
    try:
        launcher: Callable[..., Launcher] = getattr(importlib.import_module(module), class_name)
        return launcher(_read_options() if options is None else options)
    except ImportError as error:
        raise ValueError(
            f"launcher {chosen} needs a package that is not installed: {error}; "
            f"run pip install 'boxloop[{chosen}]' where Airflow's tasks run"
        ) from error


def launcher_name() -> str:
    """Return the launcher that the environment asks for."""
    return os.environ.get(LAUNCHER) or "local"


def build_options(cls: type[T], options: Mapping[str, Any], launcher: str) -> T:
    """Return a launcher's options, a dataclass.

    Raises:
        ValueError: if one is unknown, missing or of another type.
    """
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    names = [each.name for each in fields]
    if unknown := sorted(set(options) - set(names)):
        raise ValueError(
            f"launcher {launcher} has no option {unknown[0]!r}; it has {', '.join(names)}"
        )
    missing = dataclasses.MISSING
    for each in fields:
        if {each.default, each.default_factory} == {missing} and each.name not in options:
            raise ValueError(f"launcher {launcher} needs option {each.name!r}")
    _check_types(get_type_hints(cls), options, launcher)
    return cls(**options)


def need_bucket(job: Job, launcher: str) -> None:
    """Check that a job elsewhere reaches the run.

    Raises:
        ValueError: if the run is in a folder of this machine.
    """
    if not is_remote(job.run_uri):
        raise ValueError(
            f"launcher {launcher} trains on another machine, which does not see {job.run_uri}; "
            "set the artifact root, or $BOXLOOP_ROOT, to gs://bucket/prefix"
        )


def _check_types(hints: Mapping[str, Any], options: Mapping[str, Any], launcher: str) -> None:
    for name, value in options.items():
        if not _fits(value, hints[name]):  # the value may hold a secret: it is not repeated
            raise ValueError(
                f"launcher {launcher}: option {name!r} must be {_kind(hints[name])}, and is none"
            )


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value has the type that an option says."""
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind is UnionType:
        return any(_fits(value, each) for each in inner)
    if kind is Any:
        return True
    if kind is Mapping:
        return isinstance(value, Mapping) and all(_fits(v, inner[1]) for v in value.values())
    if kind is Sequence:
        return isinstance(value, list | tuple) and all(_fits(v, inner[0]) for v in value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _kind(hint: Any) -> str:
    """Return what an option may be, in words, with what is in it."""
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind is UnionType:  # or None, which is to leave it out
        return _kind(inner[0])
    if inner and inner[-1] in KINDS:
        return f"{KINDS[kind]} of {KINDS[inner[-1]]}"
    return KINDS[kind]


def _read_options() -> dict[str, Any]:
    text = os.environ.get(LAUNCHER_OPTIONS) or "{}"
    options = json_object(text)
    if options is None:
        raise ValueError(
            f'{LAUNCHER_OPTIONS} must be a JSON object such as {{"gpus": 1}}, and is none'
        )
    return options
