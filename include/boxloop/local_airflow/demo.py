"""`make demo` and `make airflow`: Airflow for as long as a person, or one run, needs it."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import FrameType
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.local_airflow.client import AirflowClient
from boxloop.local_airflow.follow import follow, format_seconds
from boxloop.local_airflow.server import PORT, PROJECT, AirflowServer
from boxloop.terminal import figure

DAG = "active_learning"
DEMO = "configs/experiments/demo.yaml"
RUN_PREFIX = "demo__"
NEEDED_DISK = 3 * 10**9
INTERRUPTED = 130


def run_demo(
    experiment: str = DEMO, *, seed: int | None = None, data: str | None = None, port: int = PORT
) -> int:
    """Run an experiment from start to end in an Airflow of its own, and show what came of it.

    On a terminal Airflow then stays up until Ctrl-C. Nothing is left running in the end.

    Args:
        experiment: the experiment file.
        seed: another seed than the file has.
        data: another data location than the file has.
        port: wanted for the web page.

    Returns:
        The exit code: 0 if all went well.
    """
    console = Console()
    try:
        check_machine()
        console.print("Starting Airflow ...")
        with interruptible(), AirflowServer(port=port) as server, server.client() as client:
            console.print(f"Airflow is up: {server.url}")
            with _peak_memory(server) as peak:
                params = {"experiment": experiment, "seed": seed, "data_uri": data}
                code = _run(client, params, console)
            console.print(f"Peak memory of Airflow and its tasks: {max(peak) / 1e9:.1f} GB")
            if code == 0 and console.is_terminal:
                _stay_up(server, console)
            return code
    except RuntimeError as error:
        console.print(f"[red]error:[/] {error}")
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted: everything is stopped.")
        return INTERRUPTED


def serve(*, port: int = PORT) -> int:
    """Keep Airflow up until Ctrl-C; returns the exit code."""
    console = Console()
    try:
        check_machine()
        console.print("Starting Airflow ...")
        with interruptible(), AirflowServer(port=port) as server:
            _stay_up(server, console)
    except RuntimeError as error:
        console.print(f"[red]error:[/] {error}")
        return 1
    except KeyboardInterrupt:
        console.print("Airflow is stopped.")
    return 0


def check_machine() -> None:
    """Check what the start would only fail on later.

    Raises:
        RuntimeError: if this Python is not supported or the disk is nearly full.
    """
    version = sys.version_info[:2]
    if not (3, 11) <= version < (3, 14):
        raise RuntimeError(
            f"Boxloop needs Python 3.11 to 3.13, this is {version[0]}.{version[1]}: "
            "remove .venv and run `make setup`"
        )
    free = shutil.disk_usage(PROJECT).free
    if free < NEEDED_DISK:
        raise RuntimeError(
            f"{PROJECT} has {free / 1e9:.1f} GB of free disk space; a run needs "
            f"{NEEDED_DISK / 1e9:.0f} GB: make room, or delete old runs in .boxloop"
        )


def growth_table(summary: Mapping[str, Any]) -> Table:
    """Return how the training set and the detector grew, from a run's report/summary.json."""
    table = Table(title="Growth by round")
    for name in ("round", "training images", "adopted", "mAP@0.5"):
        table.add_column(name, justify="right")
    for row in summary["rounds"]:
        cells = (row["round"], row["training_images"], row["adopted"], figure(row["map50"]))
        table.add_row(*map(str, cells))
    return table


def last_words(client: AirflowClient, dag_id: str, run_id: str, count: int = 25) -> list[str]:
    """Return what the task that failed first said last, with a heading."""
    failed = [i for i in client.task_instances(dag_id, run_id) if i["state"] == "failed"]
    if not failed:
        return [f"The run failed, though none of its tasks did: see {run_id} in the web page."]
    first = min(failed, key=lambda i: i["end_date"] or "~")
    where = f"{first['rendered_map_index'] or ''} {first['task_id']}".strip()
    return [f"{where} failed. The end of its log:", *client.log_lines(first)[-count:]]


def _run(client: AirflowClient, params: Mapping[str, Any], console: Console) -> int:
    run_id = f"{RUN_PREFIX}{datetime.now():%Y-%m-%dT%H-%M-%S}"
    started = time.monotonic()
    _make_way(client, console)
    client.trigger(DAG, run_id, params)
    try:
        state = follow(client, DAG, run_id, console)
    except KeyboardInterrupt:
        with contextlib.suppress(httpx.HTTPError, RuntimeError):
            client.fail_run(DAG, run_id)  # else the next start of Airflow would go on with it
        raise
    if state != "success":
        for line in last_words(client, DAG, run_id):
            console.print(line, markup=False, highlight=False)
        return 1
    _show_result(client, run_id, console)
    console.print(f"Took {format_seconds(time.monotonic() - started)}.", highlight=False)
    return 0


def _make_way(client: AirflowClient, console: Console) -> None:
    """Wait for the DAG, and end what a demo that was killed has left unfinished."""
    end = time.monotonic() + 60
    while not client.has_dag(DAG):
        if time.monotonic() > end:
            raise RuntimeError("\n".join([f"Airflow found no DAG {DAG}", *client.import_errors()]))
        time.sleep(0.5)
    client.unpause(DAG)
    for run_id in client.active_runs(DAG):
        if run_id.startswith(RUN_PREFIX):
            client.fail_run(DAG, run_id)
        else:
            console.print(f"Run {run_id} is not finished; this one waits for it.")


def _show_result(client: AirflowClient, run_id: str, console: Console) -> None:
    run = Run(client.xcom(DAG, run_id, "plan_rounds")[0]["run_uri"])
    summary = storage.read_json(run.report_summary)
    console.print(growth_table(summary))
    if summary["stop"]:
        console.print(f"Stopped early: {summary['stop']}", highlight=False)
    console.print(f"Report: {run.report}", soft_wrap=True)


def _stay_up(server: AirflowServer, console: Console) -> None:
    console.print(f"Airflow is at {server.url} (no login). Ctrl-C stops it.")
    while server.is_running:
        time.sleep(0.5)
    raise RuntimeError(f"Airflow has ended by itself; see {server.log_path}")


@contextlib.contextmanager
def _peak_memory(server: AirflowServer) -> Iterator[list[int]]:
    """Measure every second; the list's largest number is the peak, in bytes."""
    samples = [server.memory()]
    done = threading.Event()

    def sample() -> None:
        while not done.wait(1):
            samples.append(server.memory())

    thread = threading.Thread(target=sample, name="memory", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Make every polite way to end this process a KeyboardInterrupt, and only the first one."""
    ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in ending:
            signal.signal(each, signal.SIG_IGN)  # cleaning up is not to be interrupted
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in ending}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
