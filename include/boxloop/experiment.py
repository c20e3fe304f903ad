"""Read the settings of a run from configs/*.yaml: the only reader of them.

A wrong setting raises ValueError with its name, the value found and what is allowed, before
anything is trained.
"""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from boxloop import moved, storage
from boxloop.oracle_settings import LABELS, NOBODY, STUDY
from boxloop.settings import DataConfig, Experiment
from boxloop.train_settings import ModelConfig
from boxloop.yaml_text import parse_yaml, shown
from boxloop.zoo import MODELS, find_model

T = TypeVar("T")

CONFIGS = MODELS.parent
EXPERIMENTS = CONFIGS / "experiments"
_OLD_MODES = {"label_match": LABELS, "none": NOBODY}
FORMAT = 1
"""Of experiment files; raised when an older Boxloop would read one wrongly."""
CHANGEABLE = ("rounds", "stop")
"""Settings that say how far a run goes, and nothing about any of its rounds."""


def read_experiment(uri: str, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Read an experiment file, with settings such as {"train.steps": 50} laid over it.

    Args:
        uri: a name from `experiment_names`, or a path or gs:// address of a YAML file. A relative
            path is looked up from the working directory, then beside `configs/`.
        overrides: dotted setting to value; a None value changes nothing.

    Raises:
        ValueError: if a setting is unknown, missing, of the wrong type or out of bounds.
        FileNotFoundError: if there is no such file.
    """
    found = _find(uri)
    settings = moved.value_here(_read_yaml(found), found)
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    # the model first: other overrides may change its zoo entry
    if "model" in given:
        settings["model"] = given.pop("model")
    if isinstance(settings.get("model"), str):
        settings["model"] = _model_settings(settings["model"])
    for name, value in given.items():
        _lay_over(settings, name, value)
    return _build_experiment(settings)


def experiment_names() -> list[str]:
    """Return the names of the experiments that come with Boxloop."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))


def read_settings(cls: type[T], uri: str, overrides: Mapping[str, Any] | None = None) -> T:
    """Read a YAML file of settings of another kind than experiments, as `read_experiment` does.

    Args:
        cls: a dataclass of settings.
        uri: as `read_experiment` takes it.
        overrides: dotted setting to value; a None value changes nothing.
    """
    settings = _read_yaml(_find(uri))
    for name, value in (overrides or {}).items():
        if value is not None:
            _lay_over(settings, name, value)
    built: T = _build(cls, settings, "")
    return built


def read_model(name: str) -> ModelConfig:
    """Return an entry of the zoo, by its name or that of the 2018 study.

    Raises:
        ValueError: if there is none, or a setting of it is wrong.
    """
    model: ModelConfig = _build(ModelConfig, _model_settings(name), "model.")
    return model


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
        ValueError: if there is no `=` in it, or its value is not YAML.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"a setting is NAME=VALUE, such as train.steps=50, got {text!r}")
    return name.strip(), parse_yaml(value, f"the value of {name.strip()}")


def experiment_yaml(experiment: Experiment) -> bytes:
    """Return the experiment with every setting written out, as `read_experiment` reads it."""
    settings = {"format": FORMAT, **dataclasses.asdict(experiment)}
    return yaml.safe_dump(settings, sort_keys=False).encode()


def fixed_settings(data: bytes) -> dict[str, Any]:
    """Return what a run's experiment.yaml says of all settings that its rounds hang on.

    How many rounds there are, and what ends a run, may change once rounds are finished.
    """
    settings = parse_yaml(data, "experiment.yaml")
    others = (*CHANGEABLE, "format")
    return {name: value for name, value in settings.items() if name not in others}


def changed_yaml(data: bytes, experiment: Experiment, *, place: str = "") -> bytes:
    """Return a run's experiment.yaml with the changeable settings of an experiment.

    All others stay as they are written, also those that a newer version would write out.

    Args:
        data: the run's experiment.yaml.
        experiment: what is asked for.
        place: where the file is, for addresses in it that have moved since.

    Raises:
        ValueError: if one of them is another in the experiment; says which.
    """
    settings = parse_yaml(data, "experiment.yaml")
    before = _build_experiment(moved.value_here(settings, place))
    for field in dataclasses.fields(Experiment):
        old, new = getattr(before, field.name), getattr(experiment, field.name)
        if field.name not in CHANGEABLE and old != new:
            raise ValueError(f"its {_first_difference(old, new, field.name)}")
    new_settings = dataclasses.asdict(experiment)
    settings |= {name: new_settings[name] for name in CHANGEABLE}
    return yaml.safe_dump(settings, sort_keys=False).encode()


def default_root() -> str:
    """Return the artifact root of commands that name none: $BOXLOOP_ROOT, else .boxloop."""
    return os.environ.get("BOXLOOP_ROOT") or str(CONFIGS.parent / ".boxloop")


def _first_difference(old: Any, new: Any, name: str) -> str:
    """Name the first setting that differs, with both values."""
    if dataclasses.is_dataclass(old) and type(old) is type(new):
        for field in dataclasses.fields(old):
            pair = getattr(old, field.name), getattr(new, field.name)
            if pair[0] != pair[1]:
                return _first_difference(*pair, f"{name}.{field.name}")
    return f"{name} is {old!r}, not {new!r}"


def _build_experiment(settings: dict[str, Any]) -> Experiment:
    """Build an experiment, also from the experiment.yaml of a run before judges had a setting."""
    settings = _without_format(settings)
    oracle, predict = settings.get("oracle"), settings.get("predict")
    if isinstance(oracle, dict) and oracle.get("mode") in _OLD_MODES and "by" not in oracle:
        oracle = oracle | {"by": _OLD_MODES[oracle["mode"]], "mode": STUDY}
        settings = settings | {"oracle": oracle}
    if isinstance(predict, dict) and "agreement" in predict:  # now oracle.min_agreement asks
        predict = {name: value for name, value in predict.items() if name != "agreement"}
        settings = settings | {"predict": predict}
    experiment: Experiment = _build(Experiment, settings, "")
    return experiment


def _without_format(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without their format, which those of before there was one do not tell."""
    if (found := settings.get("format", FORMAT)) != FORMAT:
        raise ValueError(
            f"the settings have format {found!r}, this Boxloop knows {FORMAT}: "
            "they are of another version; bring Boxloop up to date (git pull, make setup)"
        )
    return {name: value for name, value in settings.items() if name != "format"}


def _model_settings(name: str) -> dict[str, Any]:
    name = find_model(name)
    return {"name": name, **_read_yaml(str(MODELS / f"{name}.yaml"))}


def _find(uri: str) -> str:
    """Return where an experiment file is, given its name or a path from the project."""
    if "://" in uri or Path(uri).is_file():
        return uri
    if uri in experiment_names():
        return str(EXPERIMENTS / f"{uri}.yaml")
    in_project = CONFIGS.parent / uri
    if not in_project.is_file():
        names = ", ".join(experiment_names())
        raise FileNotFoundError(
            f"there is no experiment {uri}: name one of {names}, or the path of a YAML file"
        )
    return str(in_project)


def _read_yaml(uri: str) -> dict[str, Any]:
    settings = parse_yaml(storage.read_bytes(uri), uri)
    if not isinstance(settings, dict):
        raise ValueError(f"{uri}: expected settings such as 'rounds: 7', got {shown(settings)}")
    return settings


def _lay_over(settings: dict[str, Any], name: str, value: Any) -> None:
    *parents, leaf = name.split(".")
    for parent in parents:
        group = settings.get(parent)
        if group is None:
            group = settings[parent] = {}
        if not isinstance(group, dict):
            raise ValueError(f"setting {name}: {parent} is {shown(group)}, not a group of settings")
        settings = group
    settings[leaf] = value


def _build(cls: type[Any], settings: Any, where: str) -> Any:
    """Build a dataclass from a mapping, naming the setting that does not fit."""
    if not isinstance(settings, dict):
        raise ValueError(f"{where.rstrip('.')} must be a group of settings, got {shown(settings)}")
    types = typing.get_type_hints(cls)
    if unknown := sorted(set(settings) - set(types), key=str):
        raise ValueError(f"unknown setting {where}{unknown[0]!s:.60}; there are {', '.join(types)}")
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
    container = typing.get_origin(expected)
    if container is list and isinstance(value, list):
        return [_convert(options[0], item, f"{name}[{i}]") for i, item in enumerate(value)]
    if expected == dict[str, str] and isinstance(value, dict):
        for item in (*value, *value.values()):
            _convert(str, item, f"each name in {name}")
    if container in (dict, list):
        options = (container,)
    if float in options and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, options) or (isinstance(value, bool) and bool not in options):
        wanted = " or ".join(option.__name__ for option in options)
        raise ValueError(f"{name} must be {wanted}, got {shown(value)}")
    return value
