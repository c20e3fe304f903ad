"""Several processes, on as many hosts, that train one detector together: which of them this is.

TensorFlow reads it from TF_CONFIG. Vertex AI sets that; elsewhere it is made here of what a
launcher can say, Kubernetes' too: the addresses of all, the same for each, and this one's number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from boxloop.json_text import json_object

HOSTS = "BOXLOOP_HOSTS"
"""Addresses of all, as name:port,name:port; the first is the chief."""
INDEXES = ("BOXLOOP_HOST_INDEX", "JOB_COMPLETION_INDEX")
"""Number of this one, from 0; the second is what Kubernetes gives the pods of an Indexed Job."""
TF_CONFIG = "TF_CONFIG"
CHIEF, WORKER = "chief", "worker"


def environment(addresses: Sequence[str], index: int | None = None) -> dict[str, str]:
    """Return the variables that make a process one of several.

    Args:
        addresses: name:port of each, the chief's first.
        index: number of this one, from 0; None: Kubernetes numbers it.
    """
    given = {} if index is None else {INDEXES[0]: str(index)}
    return {HOSTS: ",".join(addresses), **given}


def join() -> None:
    """Tell TensorFlow of the others, where the environment names any.

    Raises:
        ValueError: if it does not say which of them this is.
    """
    addresses = [each for each in os.environ.get(HOSTS, "").split(",") if each]
    if not addresses or TF_CONFIG in os.environ:
        return
    text = next((os.environ[name] for name in INDEXES if name in os.environ), "")
    if not text.isdigit() or int(text) >= len(addresses):
        raise ValueError(
            f"{INDEXES[0]} must be the number of this host, from 0, of {len(addresses)}; "
            f"got {text!r}"
        )
    task = {"type": WORKER, "index": int(text)}
    os.environ[TF_CONFIG] = json.dumps({"cluster": {WORKER: addresses}, "task": task})


def num_hosts() -> int:
    """Return how many processes train together, 1 where this is the only one."""
    cluster = _config().get("cluster", {})
    return max(1, len(cluster.get(CHIEF, [])) + len(cluster.get(WORKER, [])))


def is_chief() -> bool:
    """Whether this process writes what comes of the training: the chief, else the first worker."""
    config = _config()
    task = config.get("task", {})
    if num_hosts() == 1 or task.get("type") == CHIEF:
        return True
    has_chief = bool(config.get("cluster", {}).get(CHIEF))
    return not has_chief and task.get("type") == WORKER and int(task.get("index", 0)) == 0


def _config() -> dict[str, Any]:
    text = os.environ.get(TF_CONFIG) or "{}"
    found = json_object(text)
    if found is None:
        raise ValueError(f"{TF_CONFIG} must be a JSON object, got {text!r}")
    return found
