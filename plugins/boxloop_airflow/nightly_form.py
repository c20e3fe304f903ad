"""The trigger form of the nightly retraining, its timetable, and what they mean for a night."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

from boxloop.oracle_settings import LABELS, NOBODY
from boxloop_airflow.form.values import slug

NIGHT, TRAINING = "Night", "Training"
SCHEDULE = os.environ.get("BOXLOOP_NIGHTLY_SCHEDULE", "0 2 * * *")
"""When a night begins, in UTC, as cron says it. Empty: only by hand and when labels arrive."""
CONFIG = os.environ.get("BOXLOOP_NIGHTLY_CONFIG", "configs/nightly.yaml")
HOURS = float(os.environ.get("BOXLOOP_NIGHTLY_HOURS", "6"))
"""How long after its beginning a night is late."""

PARAMS = {
    "config": Param(
        CONFIG,
        type="string",
        minLength=1,
        title="Night file",
        description="Path or gs:// address of a YAML file such as configs/nightly.yaml; a relative "
        "path starts from the project. It decides everything that the fields below leave empty. A "
        "night by the clock takes the one that $BOXLOOP_NIGHTLY_CONFIG names.",
        section=NIGHT,
    ),
    "name": Param(
        None,
        type=["null", "string"],
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        title="Champion's name",
        description="Champion and library that the night is about, such as cards. Another name "
        "begins another champion.",
        section=NIGHT,
    ),
    "inbox": Param(
        None,
        type=["null", "string"],
        title="Inbox",
        description="Folder or gs:// prefix where new images and boxes arrive, with images/, "
        "annotations/ and image_labels.csv. Nothing in it is changed. Empty: the night file's, "
        "else $BOXLOOP_INBOX.",
        section=NIGHT,
    ),
    "always": Param(
        False,
        type="boolean",
        title="Also where nothing is new",
        description="Train and compare even if the inbox has nothing new, which takes the full "
        "time of a night. Otherwise such a night is skipped in seconds.",
        section=NIGHT,
    ),
    "artifact_root": Param(
        None,
        type=["null", "string"],
        title="Artifact root",
        description="Folder or gs:// prefix for library, runs and champions. Empty: $BOXLOOP_ROOT, "
        "else .boxloop in the project.",
        section=NIGHT,
    ),
    "rounds": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=99,
        title="Rounds",
        description="Number of rounds of this night, 1 in configs/nightly.yaml. The time of a "
        "night grows in proportion.",
        section=TRAINING,
    ),
    "steps": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=1_000_000,
        title="Steps a round",
        description="Optimiser steps in each round, one batch of images each. Training time grows "
        "in proportion.",
        section=TRAINING,
    ),
    "oracle": Param(
        None,
        type=["null", "string"],
        enum=[None, LABELS, NOBODY],
        values_display={LABELS: "image-level labels", NOBODY: "nobody: no box is adopted"},
        title="Who judges detections",
        description="People are not asked at night unless the night file says so (ask_people), "
        "since a night would wait for them.",
        section=TRAINING,
    ),
    "resume": Param(
        "auto",
        type="string",
        enum=["auto", "never"],
        title="Cleared training",
        description="What a cleared train task does. auto: it goes on from the newest checkpoint, "
        "and has nothing to do if it was finished. never: it trains anew, which takes the full "
        "time of a round. A retry after a failure always goes on.",
        section=TRAINING,
    ),
}


def night_arguments(params: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """Return the arguments of `boxloop.nightly.read_night` for a filled-in form."""
    from boxloop.experiment import default_root

    return {
        "config_uri": params["config"],
        "root": params["artifact_root"] or default_root(),
        "experiment_id": f"night-{slug(run_id)}",
        "overrides": {name: params[name] for name in ("name", "inbox", "oracle")},
        "settings": {"rounds": params["rounds"], "train.steps": params["steps"]},
    }
