"""The task that compares a night's detector with the champion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from boxloop_airflow.nightly_form import night_arguments


def decide(run_uri: str, context: Mapping[str, Any]) -> dict[str, Any]:
    """Return what became of the detector of a night's run, once the report tells of it too."""
    from boxloop import nightly, steps
    from boxloop.promotion import promote

    night = nightly.read_night(**night_arguments(context["params"], context["run_id"]))
    decision = promote(
        run_uri,
        root=night.root,
        name=night.config.name,
        config=night.config.promotion,
        by=f"{context['ti'].dag_id} {context['run_id']}",
        began=night.began,
    )
    steps.report(run_uri)
    return decision


def event_of(decision: dict[str, Any], context: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what an event of the champion's asset tells, None where there is none to make."""
    from boxloop import champion

    return champion.event_of(
        decision, night_arguments(context["params"], context["run_id"])["root"]
    )
