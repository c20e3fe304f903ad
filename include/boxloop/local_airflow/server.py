"""Airflow as one thing to start and stop: `airflow standalone` and all that it starts.

Standalone does not stop cleanly: it leaves its scheduler and web server behind, and tasks lead
sessions of their own. So every process gets a mark in its environment, and stopping means that no
process with that mark is left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import psutil

from boxloop.experiment import CONFIGS
from boxloop.local_airflow.client import AirflowClient
from boxloop.tensorboard_cli import URL as TENSORBOARD

PROJECT = CONFIGS.parent
HOME = PROJECT / ".airflow"
PORT = 8080
MARK = "BOXLOOP_AIRFLOW"
GPU_POOL = "gpu"

TUNING = {
    "AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT": "16",
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # the default asks a name server
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__PARALLELISM": "4",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
    "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
    # longer than the timeout above and a retry's delay: after that a trainer is not taken up again
    "BOXLOOP_ORPHAN_SECONDS": "120",
    "BOXLOOP_TENSORBOARD_URL": TENSORBOARD,
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_USE_LEGACY_KERAS": "1",
}
"""For one user and one machine; whatever the environment says already stays as it is."""


class AirflowServer:
    """Airflow on this machine, for as long as the `with` block lasts.

    Args:
        home: Airflow's folder: database, logs, generated passwords. One server at a time.
        port: of the web page; if it is taken, some other one.
        environment: variables for Airflow and its tasks, over those of this process.
        dags: the folder of DAG files.
    """

    def __init__(
        self,
        home: Path = HOME,
        *,
        port: int = PORT,
        environment: Mapping[str, str] | None = None,
        dags: Path = PROJECT / "dags",
    ) -> None:
        self.home = home.resolve()
        self.log_path = self.home / "logs" / "standalone.log"
        self.url = ""
        self._wanted_port = port
        self._environment = dict(environment or {})
        self._dags = dags
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    def __enter__(self) -> AirflowServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, timeout_seconds: float = 300) -> None:
        """Start Airflow and wait until it can run tasks.

        Raises:
            RuntimeError: if Airflow runs in this home already, ends, or is not up in time.
        """
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = hold(self.home / "server.lock")
        try:
            self._kill_all()  # what a server that was killed has left behind
            self._launch()
            self._wait(timeout_seconds)
        except BaseException:
            self.stop()
            raise

    def stop(self, grace_seconds: float = 3.0) -> None:
        """End Airflow and everything it started; may be called twice."""
        if self._process is not None:
            everything = self.processes()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            psutil.wait_procs(everything, timeout=grace_seconds)
            self._kill_all()
            self._process.wait()
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def is_running(self) -> bool:
        """Whether Airflow has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def processes(self) -> list[psutil.Process]:
        """Return every process that Airflow has started, at any depth."""
        return [
            process
            for process in psutil.process_iter()
            if process.pid != os.getpid() and _mark(process) == str(self.home)
        ]

    def memory(self) -> int:
        """Return the bytes of memory that Airflow and its tasks hold now."""
        return sum(_memory(process) for process in self.processes())

    def client(self) -> AirflowClient:
        """Return a client of this server."""
        return AirflowClient(self.url)

    def _launch(self) -> None:
        port, *others = free_ports(self._wanted_port)
        self.url = f"http://127.0.0.1:{port}"
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [str(_airflow()), "standalone"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=PROJECT,
                env=self._settings(port, others),
                start_new_session=True,
            )

    def _settings(self, port: int, log_ports: list[int]) -> dict[str, str]:
        """Return the environment of Airflow."""
        ours = {**TUNING, **os.environ, **self._environment}
        ours.pop("PYTHONDONTWRITEBYTECODE", None)  # every task would compile Airflow anew
        ours["PATH"] = f"{_airflow().parent}{os.pathsep}{ours.get('PATH', '')}"
        for name in ("NO_PROXY", "no_proxy"):
            ours[name] = ",".join(filter(None, [ours.get(name), "127.0.0.1", "localhost"]))
        ours |= {
            MARK: str(self.home),
            "SPT_NOENV": "1",  # else a process that renames itself overwrites its mark
            "NO_COLOR": "1",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self._dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",  # whoever has this machine
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_ports[0]),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_ports[1]),
        }
        return ours

    def _wait(self, timeout_seconds: float) -> None:
        end = time.monotonic() + timeout_seconds
        with self.client() as client:
            while not client.is_healthy():
                if not self.is_running:
                    raise RuntimeError(f"Airflow ended while starting.\n{self._last_lines()}")
                if time.monotonic() > end:
                    raise RuntimeError(
                        f"Airflow was not up after {timeout_seconds:.0f} s.\n{self._last_lines()}"
                    )
                time.sleep(0.5)
            if not self._listens():
                raise RuntimeError(
                    f"another program took {self.url} while Airflow was starting; try again"
                )
            client.create_pool(GPU_POOL, 1, "Tasks that need the GPU: one at a time")

    def _listens(self) -> bool:
        """Whether it is our own web server that answers."""
        port = int(self.url.rpartition(":")[2])
        return any(
            connection.laddr and connection.laddr.port == port
            for process in self.processes()
            for connection in _listening(process)
        )

    def _last_lines(self, count: int = 25) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()[-count:]
        return "\n".join([f"The end of {self.log_path}:", *lines])

    def _kill_all(self) -> None:
        while found := self.processes():  # again: one may have started another meanwhile
            for process in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(found, timeout=2)


def _airflow() -> Path:
    path = Path(sys.executable).with_name("airflow")
    if not path.exists():
        raise RuntimeError(f"{path} is missing: run this with the environment of `make setup`")
    return path


def hold(path: Path) -> IO[str]:
    """Hold a file for as long as this process lives.

    Raises:
        RuntimeError: if another process holds it.
    """
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise RuntimeError(
            f"Airflow is already running in {path.parent}, started from another terminal; "
            "use that one, or stop it with Ctrl-C there"
        ) from None
    return file


def free_ports(wanted: int) -> list[int]:
    """Return three free ports of this machine, the first one as wanted if that can be."""
    with contextlib.ExitStack() as stack:
        found = []
        for port in (wanted, 0, 0):
            server = stack.enter_context(socket.socket())
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                server.bind(("127.0.0.1", port))
            except OSError:
                server.bind(("127.0.0.1", 0))
            found.append(server.getsockname()[1])
        return found


def _mark(process: psutil.Process) -> str | None:
    try:
        mark: str | None = process.environ().get(MARK)
    except (psutil.Error, OSError):  # another user's, or gone
        return None
    return mark


def _listening(process: psutil.Process) -> list[Any]:
    with contextlib.suppress(psutil.Error):
        found = process.net_connections("tcp4")
        return [connection for connection in found if connection.status == psutil.CONN_LISTEN]
    return []


def _memory(process: psutil.Process) -> int:
    """Return the memory of a process; what it shares with others counts in part."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        with contextlib.suppress(psutil.Error):
            return int(process.memory_info().rss)
        return 0
