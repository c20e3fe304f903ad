import dataclasses
from pathlib import Path
from typing import Any

import pytest

from boxloop.experiment import experiment_yaml, read_experiment
from boxloop.settings import Experiment
from boxloop.zoo import model_names

YAML = """
name: small
model: {name: tiny, experiment: retinanet_mobile_coco, task: RetinaNet, input_size: [64, 64]}
data: {uri: my_images, drawn: {boxed: 8}}
train: {steps: 100, learning_rate: 1}
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "small.yaml").write_text(YAML)
    return str(tmp_path / "small.yaml")


def test_settings_are_read_and_the_rest_has_defaults(path: str) -> None:
    experiment = read_experiment(path)
    assert (experiment.name, experiment.model.name, experiment.data.uri) == (
        "small",
        "tiny",
        "my_images",
    )
    assert (experiment.train.steps, experiment.rounds) == (100, 7)
    assert experiment.data.drawn is not None
    assert (experiment.data.drawn.boxed, experiment.data.drawn.pool) == (8, 160)


def test_whole_number_is_fine_where_a_fraction_may_be(path: str) -> None:
    rate = read_experiment(path).train.learning_rate
    assert isinstance(rate, float)
    assert rate == 1


def test_overrides_are_laid_over_and_none_changes_nothing(path: str) -> None:
    overrides = {"train.steps": 50, "oracle.min_score": 0.9, "rounds": None, "seed": 7}
    experiment = read_experiment(path, overrides)
    assert (experiment.train.steps, experiment.oracle.min_score) == (50, 0.9)
    assert (experiment.rounds, experiment.seed) == (7, 7)


def test_written_experiment_reads_back_the_same(path: str, tmp_path: Path) -> None:
    experiment = read_experiment(path)
    (tmp_path / "written.yaml").write_bytes(experiment_yaml(experiment))
    assert read_experiment(str(tmp_path / "written.yaml")) == experiment


@pytest.mark.parametrize("name", model_names())
def test_every_model_of_the_zoo_is_read_by_its_name(path: str, name: str) -> None:
    model = read_experiment(path, {"model": name, "model.task": "mine"}).model
    assert model.name == name
    assert model.experiment
    assert model.task == "mine"


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        pytest.param("train.step", 5, "unknown setting train.step; there are steps,", id="unknown"),
        pytest.param("trian", {}, "unknown setting trian; there are name, model,", id="no group"),
        pytest.param("train.steps", "5", "train.steps must be int, got '5'", id="text"),
        pytest.param("train.steps", 5.5, "train.steps must be int, got 5.5", id="fraction"),
        pytest.param("train.steps", True, "train.steps must be int, got True", id="yes as number"),
        pytest.param("data.given_splits", 1, "must be bool, got 1", id="number as yes"),
        pytest.param("train", 5, "train must be a group of settings, got 5", id="not a group"),
        pytest.param("rounds.first", 5, "", id="below a number"),
        pytest.param(
            "model", "huge", "model 'huge' is not in the zoo; it has ", id="not in the zoo"
        ),
        pytest.param("model.overrides", [], r"model.overrides must be dict, got \[\]", id="list"),
        pytest.param("rounds", 0, r"rounds must be in \[1, 99\], got 0", id="no round"),
        pytest.param("seed", -1, "seed must be >= 0, got -1", id="negative seed"),
        pytest.param("train.steps", 0, "train.steps must be at least 1, got 0", id="no step"),
        pytest.param("train.batch_size", 0, "train.batch_size must be at least 1", id="no batch"),
        pytest.param("train.checkpoint_interval", 0, "must be at least 1", id="no interval"),
        pytest.param("train.learning_rate", 0, "train.learning_rate must be > 0", id="no rate"),
        pytest.param("train.learning_rate", float("nan"), "must be > 0, got nan", id="nan rate"),
        pytest.param("train.warmup_steps", 100, "got 100 of 100", id="all warm-up"),
        pytest.param("train.start", "scratch", "or nothing, got 'scr", id="start"),
        pytest.param("oracle.mode", "magic", "gated or study, got 'magic'", id="oracle"),
        pytest.param("oracle.min_score", 1.5, "oracle.min_score must be in", id="score above 1"),
        pytest.param("oracle.min_score", float("nan"), "oracle.min_score must be in", id="nan"),
        pytest.param("data.split_ratio", 0.5, "data.split_ratio must be >= 1", id="ratio"),
        pytest.param("data.test_share", 1, r"data.test_share must be in \(0, 1\)", id="all test"),
        pytest.param("data.boxed_share", 0, r"data.boxed_share must be in \(0, 1\]", id="no boxes"),
        pytest.param("data.drawn.pool", 7, "data.drawn.pool must be at least 8, got 7", id="drawn"),
        pytest.param("data.rename", {"a": [1]}, r"each name in data.rename must be str", id="name"),
        pytest.param("data.rename", {False: "no"}, "must be str, got False", id="no as a name"),
        pytest.param("train.steps", "x" * 10**6, r"must be int, got 'x{199} \.\.\.", id="long"),
        pytest.param("data", {}, "data.uri is empty: name the folder", id="no data"),
        pytest.param("data", {"uri": ""}, "data.uri is empty: name the folder", id="empty uri"),
    ],
)
def test_wrong_setting_is_named(path: str, setting: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message or f"setting {setting}: rounds is"):
        read_experiment(path, {"rounds": 7, setting: value})


@pytest.mark.parametrize("name", ["name", "model", "data"])
def test_missing_setting_is_named(path: str, name: str, tmp_path: Path) -> None:
    lines = [line for line in YAML.splitlines() if not line.startswith(f"{name}:")]
    (tmp_path / "less.yaml").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=f"setting {name} is missing"):
        read_experiment(str(tmp_path / "less.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "expected settings such as 'rounds: 7', got None", id="empty"),
        pytest.param("- a\n- b", "expected settings such as", id="list"),
        pytest.param("a: [", "is not YAML", id="not YAML"),
        pytest.param("1: 2\nx: 3", "unknown setting 1", id="number as name"),
        pytest.param("!!python/object/apply:os.getcwd []", "is not YAML", id="python object"),
    ],
)
def test_file_that_holds_no_settings_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_experiment(str(tmp_path / "odd.yaml"))


def test_missing_file_is_file_not_found() -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.yaml"):
        read_experiment("none.yaml")


def test_settings_cannot_be_changed_later(path: str) -> None:
    experiment: Experiment = read_experiment(path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        experiment.rounds = 3  # type: ignore[misc]


def test_settings_from_before_judges_had_one_are_read() -> None:
    old = {"oracle.mode": "none", "predict.agreement": True}
    experiment = read_experiment("tests/data/micro.yaml", old)
    assert (experiment.oracle.by, experiment.oracle.mode) == ("none", "study")
    assert read_experiment("tests/data/micro.yaml", {"oracle.mode": "label_match"}).oracle == (
        read_experiment("tests/data/micro.yaml", {"oracle.mode": "study"}).oracle
    )
