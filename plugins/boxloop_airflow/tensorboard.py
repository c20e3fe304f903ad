"""The link from a training task to its curves."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

URL = "BOXLOOP_TENSORBOARD_URL"


class TensorBoardLink(BaseOperatorLink):
    """A button in the page of a task instance."""

    @property
    def name(self) -> str:
        """Text of the button."""
        return "TensorBoard"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address, once the task has ended; `push` does it before."""
        return tensorboard_url(**operator.spec)


def is_on() -> bool:
    """Whether there is a TensorBoard to link to."""
    return bool(os.environ.get(URL))


def push(context: Any, spec: Any) -> None:
    """Show the link from now on: by itself Airflow shows it when the task has ended."""
    if url := tensorboard_url(**spec):
        context["ti"].xcom_push(key=TensorBoardLink().xcom_key, value=url)


def tensorboard_url(run_uri: str, round_number: int | None = None) -> str:
    """Return the address of a round, or a run, in the TensorBoard at $BOXLOOP_TENSORBOARD_URL.

    Where that is not set it is "".

    It shows what lies below the artifact root or the run, so the address picks a round by the end
    of its path.
    """
    base = os.environ.get(URL, "").rstrip("/")
    if not base:
        return ""
    experiment = run_uri.rstrip("/").rpartition("/")[2]
    number = r"\d+" if round_number is None else f"{round_number:02d}"
    runs = rf"(^|{experiment}/)round_{number}/"
    return f"{base}/?runFilter={quote(runs, safe='')}#timeseries"
