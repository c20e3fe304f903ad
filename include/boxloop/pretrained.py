"""Which pretrained weights a training begins with, and where they are. Loads no TensorFlow."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
from pathlib import Path

from boxloop import download
from boxloop.train_settings import ModelConfig, WeightsConfig

log = logging.getLogger(__name__)

KINDS = ("detector", "backbone")
_PACKAGE = "package:"


def check(config: ModelConfig, start: str) -> None:
    """Raise ValueError if a training could not begin as asked; loads and fetches nothing.

    Args:
        config: the model.
        start: one of boxloop.train_settings.STARTS.
    """
    choose(config, start)


def choose(config: ModelConfig, start: str) -> tuple[str, WeightsConfig] | None:
    """Return the weights for a training that continues no round, and which of KINDS they are.

    Args:
        config: the model.
        start: detector or backbone: those; nothing: none; previous_round, there being none: the
            detector's if they are to be had, else the backbone's, else none.

    Raises:
        ValueError: if the model has no weights of the kind asked for, or they cannot be used.
    """
    if start in KINDS:
        return start, _usable(config, start)
    if start == "nothing":
        return None
    for kind in KINDS:
        if getattr(config, kind) is not None:
            try:
                return kind, _usable(config, kind)
            except ValueError as error:
                log.warning("%s", error)
    return None


def with_absolute_paths(config: ModelConfig) -> ModelConfig:
    """Return the model with sources that mean the same from any working directory."""
    located = {
        kind: dataclasses.replace(weights, source=str(Path(weights.source).expanduser().resolve()))
        for kind in KINDS
        if (weights := getattr(config, kind)) is not None and _is_path(weights.source)
    }
    return dataclasses.replace(config, **located)


def locate(weights: WeightsConfig) -> tuple[Path, str | None]:
    """Return a local file or folder with these weights, and what to look for inside it.

    What is on a network is fetched and verified by its sha256, once.

    Raises:
        ValueError: if there is none, or it is another one than the sha256 says.
        ConnectionError: if a server cannot be reached.
    """
    if not weights.source.startswith(_PACKAGE):
        cache = download.cache_folder() / "downloads"
        path = download.fetch(weights.source, weights.sha256, cache)
        if path.is_dir() and weights.file is not None:
            return path / weights.file, None
        return path, weights.file
    path = _package_folder(weights.source) / str(weights.file)
    if weights.sha256 is not None:
        download.verify(path, weights.sha256, where=f"{weights.file} of {weights.source}")
    return path, None


def _usable(config: ModelConfig, kind: str) -> WeightsConfig:
    weights: WeightsConfig | None = getattr(config, kind)
    where = f"model.{kind}"
    if weights is None:
        raise ValueError(f"model {config.name} has no pretrained {kind}: {where} is not set")
    try:
        _check(weights, kind)
    except ValueError as error:
        raise ValueError(f"{where} of {config.name} cannot be used: {error}") from error
    return weights


def _check(weights: WeightsConfig, kind: str) -> None:
    if kind == "detector" and weights.num_classes is None:
        raise ValueError("num_classes is missing: 91 for COCO, the background included")
    if kind == "detector" and weights.format != "checkpoint":
        raise ValueError(f"format {weights.format} holds a backbone alone")
    if weights.source.startswith(_PACKAGE):
        if weights.file is None:
            raise ValueError(f"file is missing: which file of {weights.source}")
        _package_folder(weights.source)
        return
    download.check_source(weights.source, weights.sha256)
    path = Path(weights.source).expanduser()
    if _is_path(weights.source) and not (path.exists() or _is_prefix(path)):
        raise ValueError(f"{weights.source} does not exist")


def _package_folder(source: str) -> Path:
    """Return where an installed package is, without running its code."""
    name = source.removeprefix(_PACKAGE)
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"there is no package {name} in this environment: install it")
    return Path(spec.submodule_search_locations[0])


def _is_path(source: str) -> bool:
    return not (source.startswith(_PACKAGE) or download.is_network(source))


def _is_prefix(path: Path) -> bool:
    return path.with_name(f"{path.name}.index").exists()
