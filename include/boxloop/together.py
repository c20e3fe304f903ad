"""Several processes of this machine that train together; where one fails, all end.

    python -m boxloop.together 2 -m boxloop step train --run RUN --round 1

Collective operations wait for everybody, so one that is gone could keep the others for ever. The
chief's lines are printed as they are, those of the others with their number and without progress.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import islice
from typing import IO

from boxloop import hosts
from boxloop.child import PROGRESS, STOPPED

GRACE_SECONDS = 10.0
"""Between SIGTERM and SIGKILL, for those whose fellow has failed: they can save nothing more."""
END_SECONDS = 120.0
"""How long the others may take to end when the chief is done, or when one was told to end and has:
the chief then still uploads what it has saved."""
POLL_SECONDS = 0.1
OWN_PORTS = range(20_000, 32_000)
"""Below those that Linux (from 32768) and others (from 49152) give to whoever asks for any."""


def main(arguments: Sequence[str]) -> int:
    """Run a command of Python so many times at once; return the exit code of all.

    Args:
        arguments: how many, then the arguments of Python.
    """
    number, *command = arguments
    processes = _start(int(number), command)
    signal.signal(signal.SIGTERM, lambda *_: _signal(processes, signal.SIGTERM))
    code = wait(processes)
    for thread in threading.enumerate():
        if thread.name == _READER:
            thread.join(1)
    return code


def wait(processes: Sequence[subprocess.Popen[str]]) -> int:
    """Wait for the first that fails, or for the chief, the first one; end the others.

    Returns:
        The exit code of what failed, else of the chief; 128 and the number of the signal that ended
        it.
    """
    while True:
        codes = [process.poll() for process in processes]
        failed = [code for code in codes if code not in (None, 0, STOPPED)]
        if failed:
            _end(processes, GRACE_SECONDS)
            return _exit_code(min(failed))  # what was killed, before what failed for want of it
        if codes[0] == 0 or STOPPED in codes:
            _wait_until(processes, END_SECONDS)
            _end(processes, GRACE_SECONDS)
            return _exit_code(processes[0].wait())
        time.sleep(POLL_SECONDS)


_READER = "lines of another host"


def _start(number: int, command: Sequence[str]) -> list[subprocess.Popen[str]]:
    addresses = [f"localhost:{port}" for port in _free_ports(number)]
    processes = []
    for index in range(number):
        process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if index else None,
            stderr=subprocess.STDOUT if index else None,
            text=True,
            errors="replace",
            env={**os.environ, **hosts.environment(addresses, index)},
        )
        processes.append(process)
        if process.stdout is not None:
            arguments = (index, process.stdout)
            threading.Thread(target=_print, args=arguments, name=_READER, daemon=True).start()
    return processes


def _free_ports(number: int) -> list[int]:
    """Return ports that are free, and that no system gives out while TensorFlow still loads."""
    some = random.SystemRandom().sample(OWN_PORTS, len(OWN_PORTS))
    return list(islice(filter(_is_free, some), number))


def _is_free(port: int) -> bool:
    with socket.socket() as server:
        try:
            server.bind(("localhost", port))
        except OSError:
            return False
    return True


def _print(index: int, lines: IO[str]) -> None:
    for line in lines:
        if not line.startswith(PROGRESS):
            sys.stdout.write(f"host {index}: {line.lstrip('@')}")
            sys.stdout.flush()


def _exit_code(code: int) -> int:
    return code if code >= 0 else 128 - code


def _signal(processes: Sequence[subprocess.Popen[str]], number: signal.Signals) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def _wait_until(processes: Sequence[subprocess.Popen[str]], seconds: float) -> None:
    end = time.monotonic() + seconds
    while any(process.poll() is None for process in processes) and time.monotonic() < end:
        time.sleep(POLL_SECONDS)


def _end(processes: Sequence[subprocess.Popen[str]], grace_seconds: float) -> None:
    _signal(processes, signal.SIGTERM)
    _wait_until(processes, grace_seconds)
    _signal(processes, signal.SIGKILL)
    _wait_until(processes, grace_seconds)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
