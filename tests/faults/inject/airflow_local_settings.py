"""Airflow's own hook for an installation's rules: here, more attempts, and soon.

A task of the product is tried three times, a training five. Here each is killed more often than
that on purpose.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

ATTEMPTS = 12


def task_policy(task: Any) -> None:
    """Let each task be tried often and at once."""
    task.retries = ATTEMPTS
    task.retry_delay = timedelta(seconds=1)
