"""The services of docker-compose.yaml as processes of this machine.

Each service runs the command of the file with the environment of the image and of the file, and
nothing else; the order, the health checks and the ends that others wait for are those of the file.
What a container would have of its own is put in place of its names: addresses and ports become
free ports of the loopback address, /app the project, /run/secrets and volumes folders. PostgreSQL's
and Redis' images are not ours: what their entry points do is done here, with Debian's packages.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
from tests.deployment import database, dockerfile
from tests.deployment.compose import PROJECT, Service

MARK = "BOXLOOP_STACK"
PORTS = {"postgres": "5432", "redis": "6379", "api-server": "8080", "gcs": "9023"}
"""What other services reach, and at which port."""
OWN_PORTS = ("5432", "6379", "8080", "9023", "6006", "8974", "8793", "8794")
"""What a container may listen at; natively each service needs other ones."""
NOT_UP = 240
"""Seconds that a service may take; the limits of its health check are for Docker to keep."""


class Stack:
    """Processes in place of containers, until the `with` block ends.

    Args:
        folder: for data, secrets and logs; others on this machine may look into it.
        services: as `compose.services` reads them.
        venv: the environment of the images.
        emulator: the environment that has the emulator.
    """

    def __init__(
        self, folder: Path, services: Mapping[str, Service], *, venv: Path, emulator: Path
    ) -> None:
        self.folder = folder
        self.services = services
        self._bin = {"image": venv.absolute() / "bin", "emulator": emulator.absolute() / "bin"}
        ports = [(name, port) for name in {*services, *PORTS} for port in OWN_PORTS]
        self._ports = dict(zip(ports, _free_ports(len(ports)), strict=True))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Stack:
        (self.folder / "logs").mkdir()
        subprocess.run(
            ["/bin/sh", "docker/secrets.sh", self.folder / "secrets"], cwd=PROJECT, check=True
        )
        try:
            for name in self._in_order():
                self._wait_for_others(name)
                self.start(name)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address of the API server."""
        return f"http://127.0.0.1:{self._ports['api-server', '8080']}"

    @property
    def bucket_host(self) -> str:
        """The address of the emulator."""
        return f"http://127.0.0.1:{self._ports['gcs', '9023']}"

    def secret(self, name: str) -> str:
        """Return a secret."""
        return (self.folder / "secrets" / name).read_text()

    def log(self, name: str) -> str:
        """Return what a service has printed."""
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")

    def start(self, name: str) -> None:
        """Start a service."""
        if name == "postgres":
            command = self._prepare_database()
        else:
            command = self._put_in(name, self.services[name].command)
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=self.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as in the container of a service, as `docker compose exec` does."""
        return subprocess.run(
            self._put_in(name, list(command)),
            cwd=PROJECT,
            env=self.environment(name),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )

    def check(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a service's health check once."""
        return self.run(name, *self.services[name].check)

    def end(self, name: str) -> int:
        """End a service by its first process, as `docker compose stop` does; return its code."""
        process = self._processes[name]
        process.terminate()
        return process.wait(60)

    def kill(self, name: str) -> None:
        """Kill (-9) a service and all that it started, as the end of its container does."""
        self._processes[name].kill()
        self._kill_all(name)
        self._processes[name].wait(60)

    def crash_database(self) -> None:
        """Stop PostgreSQL at once, as `pg_ctl -m immediate` does."""
        data = self._folders("postgres")["/var/lib/postgresql/data"]
        os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
        self._processes["postgres"].wait(60)

    def revive(self) -> list[str]:
        """Start what has ended again, as `restart: unless-stopped` does; return which services."""
        kept = [n for n, each in self.services.items() if each.text["restart"] == "unless-stopped"]
        ended = [name for name in kept if self._processes[name].poll() is not None]
        for name in ended:
            self.start(name)
        return ended

    def processes(self, name: str = "") -> list[psutil.Process]:
        """Return every process that the stack, or one service, has started, at any depth."""
        wanted = {MARK: str(self.folder)}
        if name:
            wanted["HOME"] = str(self._folder(name, "home"))
        return [p for p in psutil.process_iter() if wanted.items() <= _environment(p).items()]

    def stop(self) -> None:
        """End everything."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        psutil.wait_procs(self.processes(), timeout=15)
        self._kill_all()
        for process in self._processes.values():
            process.wait()

    def _kill_all(self, name: str = "") -> None:
        while found := self.processes(name):
            for each in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            psutil.wait_procs(found, timeout=2)

    def environment(self, name: str) -> dict[str, str]:
        """Return the variables that a service has: its image's, its own, a container's."""
        service = self.services[name]
        given = {**dockerfile.built(service.text.get("build")), **service.environment}
        given = {key: self._put_in(name, [value])[0] for key, value in given.items()}
        programs = self._bin["emulator" if name == "gcs" else "image"]
        home = self._folder(name, "home")
        given |= {
            MARK: str(self.folder),
            "SPT_NOENV": "1",  # else a process that renames itself overwrites its mark
            "HOME": str(home),
            "HOSTNAME": socket.gethostname(),
            "LANG": "C.UTF-8",
            "PATH": f"{programs}:{os.defpath}:/usr/sbin",
            "PYTHONDONTWRITEBYTECODE": "1",  # the project is root's, in the image
        }
        return given

    def _put_in(self, name: str, words: list[str]) -> list[str]:
        """Return words of the file with this machine's names for the container's."""

        def here(word: str) -> str:
            for other, port in PORTS.items():
                word = word.replace(f"{other}:{port}", f"127.0.0.1:{self._ports[other, port]}")
            for port in OWN_PORTS:
                word = re.sub(rf"\b{port}\b", self._ports[name, port], word)
            word = word.replace("/run/secrets", str(self.folder / "secrets"))
            for path, folder in self._folders(name).items():
                word = re.sub(rf"{path}\b", str(folder), word)
            return re.sub(r"(?<![\w/.-])/app\b", str(PROJECT), word)

        return [here(word) for word in words]

    def _folders(self, name: str) -> dict[str, Path]:
        """Return the folders of a container that are not its image's, and what stands for each."""
        volumes = [each.split(":") for each in self.services[name].text.get("volumes", [])]
        found = {path: self._folder("volumes", volume) for volume, path in volumes}
        own = {"/app/.airflow": "airflow", "/tmp/cache": "cache"}  # noqa: S108 (in a container)
        return {**found, **{path: self._folder(name, each) for path, each in own.items()}}

    def _folder(self, *names: str) -> Path:
        path = self.folder.joinpath(*names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _in_order(self) -> Iterator[str]:
        """Give the services, each after those that it waits for."""
        left = dict(self.services)
        while left:
            ready = [n for n, each in left.items() if not set(each.waits_for) & set(left)]
            yield from ready
            left = {n: each for n, each in left.items() if n not in ready}

    def _wait_for_others(self, name: str) -> None:
        for other, condition in self.services[name].waits_for.items():
            if condition == "service_completed_successfully":
                code = self._processes[other].wait(NOT_UP)
                assert code == 0, f"{other} ended with {code}:\n{self.log(other)}"
            else:
                self.wait_until_healthy(other)

    def wait_until_healthy(self, name: str) -> None:
        """Wait until a service's health check succeeds.

        Raises:
            AssertionError: if the service ends, or is not healthy in time.
        """
        end = time.monotonic() + NOT_UP
        while (answer := self.check(name)).returncode != 0:
            is_there = self._processes[name].poll() is None
            assert is_there, f"{name} has ended:\n{self.log(name)[-3000:]}"
            assert time.monotonic() < end, f"{answer.stdout}\n{name}:\n{self.log(name)[-3000:]}"
            time.sleep(1)

    def _prepare_database(self) -> list[str]:
        """Do what the entry point of PostgreSQL's image does; return the command of the server."""
        environment = self.services["postgres"].environment
        (secret,) = self._put_in("postgres", [environment["POSTGRES_PASSWORD_FILE"]])
        data = self._folders("postgres")["/var/lib/postgresql/data"]
        settings = {
            "port": self._ports["postgres", "5432"],
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(data),
        }
        return database.prepare(data, Path(secret), environment, settings)


def _free_ports(count: int) -> list[str]:
    with contextlib.ExitStack() as stack:  # all at once: none twice
        servers = [stack.enter_context(socket.socket()) for _ in range(count)]
        for server in servers:
            server.bind(("127.0.0.1", 0))
        return [str(server.getsockname()[1]) for server in servers]


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):
        return {}
