import dataclasses
import typing
from typing import Any

import pytest

from boxloop.settings import Experiment
from boxloop_airflow.form import OVERRIDES, PARAMS, plan_arguments, slug

EMPTY = {name: param.value for name, param in PARAMS.items()}


def test_an_empty_form_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXLOOP_ROOT", "gs://bucket/runs")
    assert plan_arguments(EMPTY, "manual__2026-11-22T12:17:36.5+00:00") == {
        "experiment_uri": "configs/experiments/demo.yaml",
        "root": "gs://bucket/runs",
        "experiment_id": "manual-2026-11-22t12-17-36-5-00-00",
        "overrides": dict.fromkeys(OVERRIDES.values()),
    }


def test_the_artifact_root_is_a_folder_of_the_project_unless_said_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("BOXLOOP_ROOT", raising=False)
    assert plan_arguments(EMPTY, "r")["root"].endswith("/.boxloop")
    assert plan_arguments({**EMPTY, "artifact_root": "/data"}, "r")["root"] == "/data"


def test_a_filled_in_field_overrides_its_setting() -> None:
    overrides = plan_arguments({**EMPTY, "min_score": 0.7, "steps": 50}, "r")["overrides"]
    assert (overrides["oracle.min_score"], overrides["train.steps"]) == (0.7, 50)
    assert overrides["rounds"] is None


@pytest.mark.parametrize("setting", OVERRIDES.values())
def test_every_override_is_a_setting_of_an_experiment(setting: str) -> None:
    kind: Any = Experiment
    for name in setting.split("."):
        assert dataclasses.is_dataclass(kind), setting
        kind = typing.get_type_hints(kind)[name]


def test_every_field_is_used() -> None:
    assert set(PARAMS) == {*OVERRIDES, "experiment", "experiment_id", "artifact_root", "resume"}


@pytest.mark.parametrize("run_id", ["manual__2026-11-22T12:00:00+00:00", "My run", "a/../b"])
def test_a_slug_is_a_safe_experiment_id(run_id: str) -> None:
    assert PARAMS["experiment_id"].resolve(slug(run_id)) == slug(run_id)
