"""`boxloop tensorboard`: the curves of runs, also of those at work."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.cli_help import add_root, told

HOST, PORT = "127.0.0.1", 6006
URL = f"http://{HOST}:{PORT}"
"""Where it is unless told otherwise; `make airflow` links to it."""


def add_commands(commands: Any) -> None:
    """Add the command to an argparse subparsers object."""
    parser = commands.add_parser(
        "tensorboard",
        **told(
            "Show losses, metrics and pictures of runs, also while they train. Until Ctrl-C.",
            "tensorboard",
            "tensorboard .boxloop/experiments/trial",
            "tensorboard --root gs://bucket/runs --port 6007",
        ),
    )
    parser.add_argument("run", nargs="?", help="a run's folder, or gs:// (default: all runs)")
    add_root(parser)
    parser.add_argument(
        "--host",
        default=HOST,
        help="address to listen at; 0.0.0.0 lets others in (default: %(default)s)",
    )
    parser.add_argument(
        "--port", type=int, default=PORT, help="where to listen (default: %(default)s)"
    )
    parser.set_defaults(command=_tensorboard)


def _tensorboard(options: argparse.Namespace) -> int:
    logdir = storage.absolute(options.run or Run.of(options.root, "").uri.rstrip("/"))
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", logdir]
    command += ["--host", options.host, "--port", str(options.port), "--reload_interval", "5"]
    sys.stdout.write(f"TensorBoard of {logdir}: http://{options.host}:{options.port}\n")
    sys.stdout.flush()
    os.execv(sys.executable, command)  # so that whoever ends this command ends TensorBoard
