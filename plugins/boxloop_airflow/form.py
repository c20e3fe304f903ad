"""The trigger form of the pipeline, and what it means for an experiment."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

from boxloop.oracle_settings import BOTH, GATED, HUMAN, JUDGES, LABELS, NOBODY, STUDY
from boxloop.train_settings import STARTS
from boxloop.zoo import model_names

RUN, DATA, TRAINING, ORACLE = "Run", "Data", "Training", "Oracle"
PARAMS = {
    "experiment": Param(
        "configs/experiments/demo.yaml",
        type="string",
        minLength=1,
        title="Experiment file",
        description="Path or gs:// address of a YAML file; a relative path starts from the "
        "project. It decides everything that the fields below leave empty.",
        section=RUN,
    ),
    "experiment_id": Param(
        None,
        type=["null", "string"],
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        title="Experiment id",
        description="Folder of the results. Empty: made from the run id. The id of an earlier run "
        "with the same settings continues that run.",
        section=RUN,
    ),
    "artifact_root": Param(
        None,
        type=["null", "string"],
        title="Artifact root",
        description="Folder or gs:// prefix for all results. Empty: $BOXLOOP_ROOT, else .boxloop "
        "in the project. gs:// costs an upload of each round's records and model.",
        section=RUN,
    ),
    "seed": Param(
        None,
        type=["null", "integer"],
        minimum=0,
        title="Seed",
        description="Whole number that decides every random choice; a larger one costs nothing.",
        section=RUN,
    ),
    "data_uri": Param(
        None,
        type=["null", "string"],
        title="Data location",
        description="Folder or gs:// prefix with images/, annotations/ and image_labels.csv.",
        section=DATA,
    ),
    "split_ratio": Param(
        None,
        type=["null", "number"],
        minimum=1,
        maximum=100,
        title="Split ratio",
        description="Training images for each validation image. A larger ratio trains on more "
        "images and measures with fewer.",
        section=DATA,
    ),
    "rounds": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=99,
        title="Rounds",
        description="Number of rounds; the experiments that come with Boxloop have 7. The time of "
        "a run grows in proportion.",
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
    "model": Param(
        None,
        type=["null", "string"],
        examples=model_names(),
        title="Model",
        description="Name of a file in configs/models, without .yaml; `boxloop zoo` compares them. "
        "Larger models are more exact, slower, and take more memory.",
        section=TRAINING,
    ),
    "start": Param(
        None,
        type=["null", "string"],
        enum=[None, *STARTS],
        title="Start of a round",
        description="Weights that a round begins with. previous_round goes on from the round "
        "before; the others begin anew each time, from a pretrained detector, a pretrained "
        "backbone or nothing, and need more steps for the same result.",
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
    "oracle": Param(
        None,
        type=["null", "string"],
        enum=[None, *JUDGES],
        values_display={
            LABELS: "image-level labels",
            BOTH: "labels, and people where they are not sure",
            HUMAN: "people",
            NOBODY: "nobody: a control run",
        },
        title="Who judges detections",
        description="Where people judge, each round waits for them on its Review page, for a day "
        "at the most, and then goes on with what there is.",
        section=ORACLE,
    ),
    "oracle_mode": Param(
        None,
        type=["null", "string"],
        enum=[None, GATED, STUDY],
        values_display={
            GATED: "gated: calibrated, and judged anew each round",
            STUDY: "study: class equals label, once and for ever",
        },
        title="Rule for labels",
        description="How a detection is held against its image's label.",
        section=ORACLE,
    ),
    "min_score": Param(
        None,
        type=["null", "number"],
        minimum=0,
        maximum=1,
        title="Score threshold",
        description="Score in [0, 1] that a detection needs to join the training set. A higher one "
        "adopts fewer and cleaner boxes.",
        section=ORACLE,
    ),
}
OVERRIDES = {
    "seed": "seed",
    "data_uri": "data.uri",
    "split_ratio": "data.split_ratio",
    "rounds": "rounds",
    "steps": "train.steps",
    "model": "model",
    "start": "train.start",
    "oracle": "oracle.by",
    "oracle_mode": "oracle.mode",
    "min_score": "oracle.min_score",
}
"""Param to the setting of the experiment file that it overrides."""


def plan_arguments(params: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """Return the arguments of `boxloop.steps.plan_rounds` for a filled-in form."""
    from boxloop.experiment import default_root

    return {
        "experiment_uri": params["experiment"],
        "root": params["artifact_root"] or default_root(),
        "experiment_id": params["experiment_id"] or slug(run_id),
        "overrides": {setting: params[name] for name, setting in OVERRIDES.items()},
    }


def slug(run_id: str) -> str:
    """Return a run id as a folder name: `manual__2026-11-22` as `manual-2026-11-22`."""
    plain = re.sub(r"[^a-z0-9]+", "-", run_id.lower()).strip("-")
    return plain or hashlib.sha256(run_id.encode()).hexdigest()[:8]
