import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import ParamValidationError

from boxloop.experiment import experiment_names, read_experiment
from boxloop.settings import Experiment
from boxloop_airflow.form import FIELDS, OVERRIDES, PARAMS
from boxloop_airflow.form.values import WRONG, overrides, plan, plan_arguments, slug, with_fields

EMPTY = {name: param.value for name, param in PARAMS.items()}
NUMBERS = [name for name, field in FIELDS.items() if "minimum" in field.schema]
CHOICES = [name for name, field in FIELDS.items() if field.values]


class TaskInstance:
    """What the plan shows."""

    def __init__(self) -> None:
        self.shown: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.shown[key] = value


def context(root: Path, **filled: Any) -> dict[str, Any]:
    params = {**EMPTY, "artifact_root": str(root), **filled}
    return {"params": params, "run_id": "manual__1", "ti": TaskInstance()}


def test_an_empty_form_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXLOOP_ROOT", "gs://bucket/runs")
    assert plan_arguments(EMPTY, "manual__2026-11-22T12:17:36.5+00:00") == {
        "experiment_uri": "demo",
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
    filled = {"min_score": 0.7, "steps": 50, "max_hours": 1.5, "several": "best", "start": ""}
    found = overrides({**EMPTY, **filled})
    assert {name: value for name, value in found.items() if value is not None} == {
        "oracle.min_score": 0.7,
        "train.steps": 50,
        "stop.seconds": 5400,
        "oracle.several": False,
    }


@pytest.mark.parametrize("setting", OVERRIDES.values())
def test_every_override_is_a_setting_of_an_experiment(setting: str) -> None:
    kind: Any = Experiment
    for name in setting.split("."):
        assert dataclasses.is_dataclass(kind), setting
        kind = typing.get_type_hints(kind)[name]


def test_sections_come_in_the_order_in_which_people_think() -> None:
    sections = dict.fromkeys(param.schema.get("section") for param in PARAMS.values())
    assert [*sections] == [
        None,
        "Data",
        "Model",
        "Rounds",
        "Oracle",
        "Storage",
        "Advanced",
    ]


@pytest.mark.parametrize("field", NUMBERS)
def test_both_bounds_of_a_field_are_accepted_by_its_setting(field: str) -> None:
    schema = PARAMS[field].schema
    for bound in (schema["minimum"], schema["maximum"]):
        given = {FIELDS[field].setting: FIELDS[field].value(PARAMS[field].resolve(bound))}
        read_experiment("tests/data/micro.yaml", {"train.warmup_steps": 0, **given})
    for bound in (schema["minimum"] - 1, schema["maximum"] + 1):
        with pytest.raises(ParamValidationError, match=schema["title"]):
            PARAMS[field].resolve(bound)


@pytest.mark.parametrize("field", CHOICES)
def test_every_choice_is_accepted_by_its_setting_and_has_words(field: str) -> None:
    schema = PARAMS[field].schema
    assert [*schema["values_display"]] == ["null", *schema["enum"][1:]]
    for choice in schema["enum"]:
        given = {FIELDS[field].setting: FIELDS[field].value(choice)}
        read_experiment("tests/data/micro.yaml", given)


def test_the_experiments_that_come_with_boxloop_are_suggested() -> None:
    assert PARAMS["experiment"].schema["examples"] == experiment_names()
    assert "demo" in experiment_names()


def test_further_settings_are_lines_laid_over_the_experiment() -> None:
    text = "train.ema=0.5\n\n# a note\n  train.augment.flip = false \n"
    found = overrides({**EMPTY, "settings": text})
    assert (found["train.ema"], found["train.augment.flip"]) == (0.5, False)


@pytest.mark.parametrize(
    ("filled", "message"),
    [
        pytest.param(
            {"steps": 6, "settings": "train.steps=5"},
            'Field "Further settings", line 1: train.steps=5 contradicts 6 in field '
            '"Steps a round" \\(train.steps\\)',
            id="another value",
        ),
        pytest.param(
            {"steps": 6, "settings": "\ntrain={steps: 6}"}, "line 2: .*Steps a round", id="group"
        ),
        pytest.param({"settings": "seed=1\nseed=2"}, "line 2: seed has another", id="twice"),
        pytest.param({"settings": "seed"}, "line 1: a setting is NAME=VALUE", id="no value"),
        pytest.param({"settings": "seed=["}, "line 1: the value of seed: is not YAML", id="YAML"),
    ],
)
def test_further_settings_that_contradict_or_make_no_sense_are_refused(
    filled: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        overrides({**EMPTY, **filled})


def test_the_same_value_twice_and_a_setting_below_the_model_are_no_contradiction() -> None:
    text = "train.steps=6\nmodel.input_size=[64, 64]"
    found = overrides({**EMPTY, "steps": 6, "model": "retinanet_lite0", "settings": text})
    assert (found["train.steps"], found["model"]) == (6, "retinanet_lite0")


@pytest.mark.parametrize(
    ("filled", "message"),
    [
        pytest.param(
            {"experiment": "demu"}, '^Field "Experiment": there is no experiment demu', id="name"
        ),
        pytest.param({"experiment": "x/y.yaml"}, '^Field "Experiment": .*x/y.yaml', id="path"),
        pytest.param(
            {"experiment": "playing_cards"},
            r'^Field "Data location" \(data.uri\): data.uri is empty',
            id="no data",
        ),
        pytest.param(
            {"experiment": "playing_cards", "data_uri": "/no/such"},
            r'^Field "Data location" \(data.uri\): .*/no/such does not exist',
            id="data elsewhere",
        ),
        pytest.param({"model": "retina"}, r"^Field \"Model\" \(model\): model 'retina'", id="zoo"),
        pytest.param(
            {"steps": 10},
            r'^Field "Steps a round" \(train.steps\): train.warmup',
            id="two settings",
        ),
        pytest.param(
            {"settings": "train.ema=2"}, '^Field "Further settings": train.ema', id="bounds"
        ),
        pytest.param(
            {"settings": "trian.ema=2"}, '^Field "Further settings": unknown', id="unknown"
        ),
        pytest.param(
            {"artifact_root": "/proc/none"},
            '^Field "Artifact root": .*/proc',
            id="cannot be written",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_the_plan_with_the_name_of_its_field(
    tmp_path: Path, filled: dict[str, Any], message: str
) -> None:
    with pytest.raises(WRONG, match=message):
        plan(context(tmp_path, **filled))


def test_the_demo_is_not_drawn_where_somebody_has_data(tmp_path: Path) -> None:
    labels = tmp_path / "mine" / "image_labels.csv"
    labels.parent.mkdir()
    labels.write_text("filename,image_label\n")
    with pytest.raises(ValueError, match=r'"Data location" \(data.uri\): .* data of its own'):
        plan(context(tmp_path, data_uri=str(labels.parent)))
    assert labels.read_text() == "filename,image_label\n"


def test_every_setting_of_a_run_is_shown(tmp_path: Path) -> None:
    asked = context(tmp_path, experiment="tests/data/micro.yaml", rounds=3, settings="seed=5")
    assert [spec["round_number"] for spec in plan(asked)] == [1, 2, 3]
    shown = asked["ti"].shown["experiment"]
    written = tmp_path / "experiments" / "manual-1" / "experiment.yaml"
    assert shown == yaml.safe_load(written.read_text())
    assert (shown["rounds"], shown["seed"]) == (3, 5)


def test_a_message_that_speaks_of_no_field_stays_as_it_is() -> None:
    assert with_fields("the disk is full", EMPTY) == "the disk is full"
    assert with_fields("the models are older", {**EMPTY, "model": "old"}) == "the models are older"


@pytest.mark.parametrize(
    ("filled", "message"),
    [
        pytest.param({"data_uri": ""}, "a, b: no images", id="empty"),
        pytest.param({"data_uri": " "}, "a b: no images", id="blank"),
        pytest.param({"experiment": "demo"}, "/runs/x holds the demo data set", id="a word"),
        pytest.param({"settings": "train.step=1"}, "train.steps_more is 1", id="part of a name"),
        pytest.param({"settings": "seed=1"}, "the seedling is missing", id="part of a word"),
        pytest.param({"settings": "train={}"}, "the trainer has no data", id="a group"),
    ],
)
def test_a_field_is_not_blamed_for_a_word_that_only_looks_like_it(
    filled: dict[str, Any], message: str
) -> None:
    assert with_fields(message, {**EMPTY, **filled}) == message


@pytest.mark.parametrize("run_id", ["manual__2026-11-22T12:00:00+00:00", "My run", "a/../b"])
def test_a_slug_is_a_safe_experiment_id(run_id: str) -> None:
    assert PARAMS["experiment_id"].resolve(slug(run_id)) == slug(run_id)


def test_the_documents_name_every_field_and_its_setting() -> None:
    text = Path("docs/trigger-form.md").read_text()
    for name, param in PARAMS.items():
        setting = f"`{OVERRIDES[name]}`" if name in OVERRIDES else ""
        assert name == "experiment" or f"| {param.schema['title']} | {setting}" in text, name
