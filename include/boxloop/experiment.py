"""The settings of a run: frozen dataclasses over configs/*.yaml, and their only reader.

A wrong setting raises ValueError with its name, the value found and what is allowed, before
anything is trained.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from boxloop import storage

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
LABEL_MATCH = "label_match"
NO_ORACLE = "none"


@dataclass(frozen=True, kw_only=True)
class DrawnConfig:
    """How many images of the demo data set to draw, by split."""

    boxed: int = 40
    pool: int = 160
    validation: int = 16
    test: int = 160

    def __post_init__(self) -> None:
        for name, count in dataclasses.asdict(self).items():
            _check(count >= 8, f"data.drawn.{name} must be at least 8, got {count}")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the images are, and which of them play which part."""

    uri: str | None = None
    """Folder or gs:// prefix with images, annotations and labels, see docs/your-data.md."""
    drawn: DrawnConfig | None = None
    """Draw the demo data set into `uri` first, if it is not there yet."""
    annotations: str | None = None
    """Sub-folder with the files that hold boxes; by default annotations/, labels/ and the top."""
    label_pattern: str | None = None
    """Regular expression whose group `label`, found in an image's path, is its image-level label:
    `(?P<label>[a-z]+)_\\d+`. By default the label is the name of the image's folder."""
    rename: dict[str, str] = field(default_factory=dict)
    """Class names to be read as others, such as {King: king}; for boxes and labels."""
    min_box: float = 1.0
    """Boxes with a side shorter than this many pixels are dropped."""
    near_duplicates: bool = True
    """Keep images that look alike on one side of every split. Costs decoding each image once."""
    previous: str | None = None
    """Folder of an earlier dataset version: its images keep their splits, also as the data grow."""
    given_splits: bool = True
    """Follow the `split` column of image_labels.csv; else deal all images anew."""
    split_ratio: float = 9.0
    """Training images for each validation image, where no split is given (the study's -sr 9)."""
    test_share: float = 0.2
    """Share of the boxed images held out for the test, where no test split is given."""
    boxed_share: float = 1.0
    """Below 1: that share of the boxed training images keeps its boxes, the rest play the pool,
    and their boxes are kept apart as truth for the report."""

    def __post_init__(self) -> None:
        _check(self.split_ratio >= 1, f"data.split_ratio must be >= 1, got {self.split_ratio}")
        _check(0 < self.test_share < 1, f"data.test_share must be in (0, 1), got {self.test_share}")
        _check(
            0 < self.boxed_share <= 1, f"data.boxed_share must be in (0, 1], got {self.boxed_share}"
        )
        _check(self.min_box >= 0, f"data.min_box must be >= 0, got {self.min_box}")
        _check_pattern(self.label_pattern)
        _check(
            bool(self.uri) or self.drawn is not None,
            "data.uri is empty: name the folder with images/, annotations/ and image_labels.csv",
        )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long and how fast a round trains."""

    steps: int = 200
    """Optimiser steps a round; time grows in proportion."""
    batch_size: int = 16
    """Images a step; memory grows in proportion."""
    learning_rate: float = 0.05
    """Peak of the cosine schedule that each round runs anew."""
    warmup_steps: int = 20
    """Steps over which the learning rate rises to its peak."""
    start: str = "previous_round"
    """Weights a round begins with: previous_round, or backbone (pretrained, every round)."""
    freeze_backbone: bool = False
    """Train decoder and heads only: faster, less exact."""
    deterministic: bool = True
    """Same seed, same weights: images are read by one thread. Off where reading is the limit."""
    checkpoint_interval: int = 200
    """Steps between checkpoints: what a killed task loses at the most."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "checkpoint_interval"):
            value = getattr(self, name)
            _check(value >= 1, f"train.{name} must be at least 1, got {value}")
        _check(self.learning_rate > 0, f"train.learning_rate must be > 0, got {self.learning_rate}")
        _check(
            0 <= self.warmup_steps < self.steps,
            f"train.warmup_steps must be in [0, steps), got {self.warmup_steps} of {self.steps}",
        )
        _check(
            self.start in ("previous_round", "backbone"),
            f"train.start must be previous_round or backbone, got {self.start!r}",
        )


@dataclass(frozen=True, kw_only=True)
class OracleConfig:
    """Which detections join the training set."""

    mode: str = LABEL_MATCH
    """label_match: the class is the image-level label; none: nothing joins (a control)."""
    min_score: float = 0.5
    """Score in [0, 1] that a detection must reach; higher adopts fewer and cleaner boxes."""
    doubt_score: float = 0.25
    """Further detections in an adopted image that reach this score are nobody's business in
    training: neither object nor background. Above 1, all of it is background, as in the study."""

    def __post_init__(self) -> None:
        _check(
            self.mode in (LABEL_MATCH, NO_ORACLE),
            f"oracle.mode must be {LABEL_MATCH} or {NO_ORACLE}, got {self.mode!r}",
        )
        _check(
            0 <= self.min_score <= 1, f"oracle.min_score must be in [0, 1], got {self.min_score}"
        )
        _check(self.doubt_score > 0, f"oracle.doubt_score must be > 0, got {self.doubt_score}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A zoo entry: a Model Garden experiment, its overrides and its pretrained weights."""

    name: str
    experiment: str
    """Name in Model Garden's experiment registry, such as retinanet_mobile_coco."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """Model Garden settings laid over the experiment's own."""
    backbone_weights: str | None = None
    """Pretrained backbone (see detector/weights.py), or none."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that decides a run's result, but for the versions of the code."""

    name: str
    model: ModelConfig
    data: DataConfig
    train: TrainConfig = field(default_factory=TrainConfig)
    oracle: OracleConfig = field(default_factory=OracleConfig)
    rounds: int = 7
    seed: int = 1

    def __post_init__(self) -> None:
        _check(1 <= self.rounds <= 99, f"rounds must be in [1, 99], got {self.rounds}")
        _check(self.seed >= 0, f"seed must be >= 0, got {self.seed}")


def read_experiment(uri: str, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Read an experiment file, with settings such as {"train.steps": 50} laid over it.

    Args:
        uri: a path or gs:// address of a YAML file. A relative path is looked up from the
            working directory, then beside `configs/`.
        overrides: dotted setting to value; a None value changes nothing.

    Raises:
        ValueError: if a setting is unknown, missing, of the wrong type or out of bounds.
        FileNotFoundError: if there is no such file.
    """
    settings = _read_yaml(_find(uri, CONFIGS.parent))
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    # the model first: other overrides may change its zoo entry
    if "model" in given:
        settings["model"] = given.pop("model")
    if isinstance(settings.get("model"), str):
        settings["model"] = _read_model(settings["model"])
    for name, value in given.items():
        _lay_over(settings, name, value)
    experiment: Experiment = _build(Experiment, settings, "")
    return experiment


def build_data_config(settings: Mapping[str, Any]) -> DataConfig:
    """Return settings of data alone, such as {"uri": "photos", "min_box": 4}.

    Raises:
        ValueError: if one is unknown, of the wrong type or out of bounds.
    """
    config: DataConfig = _build(DataConfig, dict(settings), "data.")
    return config


def parse_setting(text: str) -> tuple[str, Any]:
    """Return name and value of a setting such as `train.steps=50`; values are YAML.

    Raises:
        ValueError: if there is no `=` in it.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set takes NAME=VALUE, such as train.steps=50, got {text!r}")
    return name, yaml.safe_load(value)


def experiment_yaml(experiment: Experiment) -> bytes:
    """Return the experiment with every setting written out, as `read_experiment` reads it."""
    return yaml.safe_dump(dataclasses.asdict(experiment), sort_keys=False).encode()


def default_root() -> str:
    """Return the artifact root of commands that name none: $BOXLOOP_ROOT, else .boxloop."""
    return os.environ.get("BOXLOOP_ROOT") or str(CONFIGS.parent / ".boxloop")


def model_names() -> list[str]:
    """Return the names of the zoo."""
    return sorted(path.stem for path in (CONFIGS / "models").glob("*.yaml"))


def _read_model(name: str) -> dict[str, Any]:
    if name not in model_names():
        raise ValueError(f"model {name!r} is not in the zoo; it has {', '.join(model_names())}")
    return {"name": name, **_read_yaml(str(CONFIGS / "models" / f"{name}.yaml"))}


def _find(uri: str, root: Path) -> str:
    in_project = root / uri
    return str(in_project) if "://" not in uri and not Path(uri).exists() else uri


def _read_yaml(uri: str) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(storage.read_bytes(uri))
    except yaml.YAMLError as error:
        raise ValueError(f"{uri}: is not YAML: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{uri}: expected settings such as 'rounds: 7', got {settings!r}")
    return settings


def _lay_over(settings: dict[str, Any], name: str, value: Any) -> None:
    *parents, leaf = name.split(".")
    for parent in parents:
        group = settings.get(parent)
        if group is None:
            group = settings[parent] = {}
        if not isinstance(group, dict):
            raise ValueError(f"setting {name}: {parent} is {group!r}, not a group of settings")
        settings = group
    settings[leaf] = value


def _build(cls: type[Any], settings: Any, where: str) -> Any:
    """Build a dataclass from a mapping, naming the setting that does not fit."""
    if not isinstance(settings, dict):
        raise ValueError(f"{where.rstrip('.')} must be a group of settings, got {settings!r}")
    types = typing.get_type_hints(cls)
    if unknown := sorted(set(settings) - set(types), key=str):
        raise ValueError(f"unknown setting {where}{unknown[0]}; there are {', '.join(types)}")
    needed = {f.name for f in dataclasses.fields(cls) if _is_required(f)}
    if missing := sorted(needed - set(settings)):
        raise ValueError(f"setting {where}{missing[0]} is missing")
    return cls(**{k: _convert(types[k], v, f"{where}{k}") for k, v in settings.items()})


def _is_required(setting: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return setting.default is missing and setting.default_factory is missing


def _convert(expected: Any, value: Any, name: str) -> Any:
    options = typing.get_args(expected) or (expected,)
    group = next((option for option in options if dataclasses.is_dataclass(option)), None)
    if group is not None and not (value is None and type(None) in options):
        return _build(typing.cast(type[Any], group), value, f"{name}.")
    if typing.get_origin(expected) is dict:
        options = (dict,)
    if float in options and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, options) or (isinstance(value, bool) and bool not in options):
        wanted = " or ".join(option.__name__ for option in options)
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return value


def _check_pattern(pattern: str | None) -> None:
    try:
        is_fine = pattern is None or "label" in re.compile(pattern).groupindex
    except re.error:
        is_fine = False
    example = "(?P<label>[a-z]+)_[0-9]+"
    _check(
        is_fine,
        f"data.label_pattern must be a regular expression with a group named label, such as "
        f"{example}, got {pattern!r}",
    )


def _check(is_fine: bool, message: str) -> None:
    if not is_fine:
        raise ValueError(message)
