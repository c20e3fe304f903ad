"""The trigger form: what is left empty is as the experiment has it."""

from __future__ import annotations

from airflow.sdk import Param

from boxloop.experiment import experiment_names
from boxloop_airflow.form.field import Field, text, whole
from boxloop_airflow.form.oracle import ORACLE
from boxloop_airflow.form.training import DATA, MODEL, ROUNDS

STORAGE = {
    "experiment_id": text(
        "Experiment id",
        "",
        "Folder of the results, such as boards-1. Empty: made from the run id. The id of an "
        "earlier run with the same settings continues that run.",
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
    ),
    "artifact_root": text(
        "Artifact root",
        "",
        "Folder or gs:// prefix for all results. Empty: $BOXLOOP_ROOT, else .boxloop in the "
        "project. gs:// costs an upload of each round's records and model.",
    ),
}
ADVANCED = {
    "seed": whole(
        "Seed",
        "seed",
        0,
        2**31 - 1,
        "Whole number that decides every random choice; a larger one costs nothing.",
    ),
    "settings": text(
        "Further settings",
        "",
        "Any other setting of an experiment file, one NAME=VALUE a line, such as "
        "train.augment.mosaic=0.5. Lines that begin with # are left out.",
        format="multiline",
    ),
}
SECTIONS: dict[str, dict[str, Field]] = {
    "Data": DATA,
    "Model": MODEL,
    "Rounds": ROUNDS,
    "Oracle": ORACLE,
    "Storage": STORAGE,
    "Advanced": ADVANCED,
}
FIELDS = {name: field for fields in SECTIONS.values() for name, field in fields.items()}
"""All that may be left empty."""
OVERRIDES = {name: field.setting for name, field in FIELDS.items() if field.setting}
"""Field to the setting of the experiment that it overrides."""
PARAMS: dict[str, Param] = {
    "experiment": Param(
        "demo",
        type="string",
        minLength=1,
        examples=experiment_names(),
        title="Experiment",
        description="A name from configs/experiments, or the path or gs:// address of a YAML "
        "file. It decides all that is left empty below, so nothing else need be filled in.",
    ),  # in no section: Airflow opens its own, Run Parameters, and no other
    **{
        name: field.param(section)
        for section, fields in SECTIONS.items()
        for name, field in fields.items()
    },
    "resume": Param(
        "auto",
        type="string",
        enum=["auto", "never"],
        values_display={
            "auto": "auto: go on from the newest checkpoint",
            "never": "never: train anew",
        },
        title="Cleared training",
        description="What a cleared train task does. auto: it goes on from the newest checkpoint, "
        "and has nothing to do if it was finished. never: it trains anew, which takes the full "
        "time of a round. A retry after a failure always goes on.",
        section="Advanced",
    ),
}
