"""What a detector knows before its first step, and what is kept of it after the last."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from boxloop import archive, download, pretrained
from boxloop.borders import masked
from boxloop.detector.backbones import convert
from boxloop.train_settings import ModelConfig, WeightsConfig

log = logging.getLogger(__name__)

NAME = "detector-1"

_UNREADABLE = (tf.errors.OpError, IndexError, RuntimeError)  # what TensorFlow says to broken files


def save(model: tf_keras.Model, folder: Path) -> None:
    """Write a detector's weights as a checkpoint: what the next round, evaluation and export read.

    The same weights give the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = tf.train.Checkpoint(model=model, **model.checkpoint_items)
    checkpoint.write(str(folder / NAME))
    # Model Garden and tf.train.latest_checkpoint look here; TensorFlow itself would add the time
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{NAME}"\n')


def read(model: tf_keras.Model, path: Path) -> int:
    """Give a detector the weights that `save` wrote, or those of one of its checkpoints.

    Returns:
        How many variables were restored: all of them.

    Raises:
        ValueError: if they are of another model.
    """
    _build_head(model)
    return _restore(model.checkpoint_items, find_checkpoint(path), "the detector")


def restore(
    model: tf_keras.Model,
    config: ModelConfig,
    *,
    start: str,
    previous: Path | None,
    build: Callable[[int], tf_keras.Model],
) -> int:
    """Give a freshly built detector the weights that its training begins with.

    Args:
        model: a RetinaNet, or a Faster or Cascade R-CNN of Model Garden.
        config: the zoo entry, which says where pretrained weights are.
        start: one of boxloop.train_settings.STARTS.
        previous: folder with the previous round's weights; None: there is no such round.
        build: makes the same model for another number of classes, the background included.

    Returns:
        How many variables were restored.

    Raises:
        ValueError: if there are no such weights, they are not what their sha256 says, or a
            variable that they should restore is not among them.
        ConnectionError: if a server cannot be reached.
    """
    if start == "previous_round" and previous is not None:
        return read(model, previous)
    chosen = pretrained.choose(config, start)
    if chosen is None:
        log.info("Nothing is restored: all of the detector is new")
        return 0
    kind, weights = chosen
    log.info("Weights: %s (%s; %s)", masked(weights.source), weights.trained_on, weights.licence)
    if kind == "backbone":
        return _restore({"backbone": model.backbone}, resolve(weights), "the backbone")
    return _restore_all_but_classes(model, build(int(weights.num_classes or 0)), resolve(weights))


def resolve(weights: WeightsConfig) -> str:
    """Return the prefix of a local checkpoint with these weights, made on first use.

    Raises:
        ValueError: if they cannot be had.
        ConnectionError: if a server cannot be reached.
    """
    path, inside = pretrained.locate(weights)
    if weights.format == "checkpoint" and not archive.is_archive(path):
        return find_checkpoint(path)
    name = hashlib.sha256(f"{weights.sha256 or download.digest(path)} {inside}".encode())
    folder = download.cache_folder() / f"{weights.format}-{name.hexdigest()[:16]}"
    if not folder.exists():
        _make_whole(folder, partial(_unpack, path, inside, weights.format))
    return find_checkpoint(folder)


def find_checkpoint(path: Path) -> str:
    """Return the prefix of a checkpoint's files.

    Args:
        path: a folder, whose newest or only checkpoint it is; or the prefix itself.

    Raises:
        ValueError: if there is none, or several.
    """
    if path.is_dir():
        if newest := tf.train.latest_checkpoint(str(path)):
            return str(newest)
        found = sorted(path.glob("*.index"))
        if len(found) != 1:
            names = ", ".join(file.stem for file in found) or "none"
            raise ValueError(f"{path}: name one checkpoint in it; it has {names}")
        path = found[0]
    prefix = path.with_name(path.name.removesuffix(".index"))
    if not prefix.with_name(f"{prefix.name}.index").exists():
        raise ValueError(f"{prefix}.index does not exist: no checkpoint of TensorFlow is there")
    return str(prefix)


def _unpack(path: Path, inside: str | None, weights_format: str, folder: Path) -> None:
    if weights_format == "checkpoint":
        archive.extract_checkpoint(path, inside, folder)
        return
    try:
        data = archive.read_member(path, inside) if inside else path.read_bytes()
        convert(data, weights_format, folder / "backbone-1")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _make_whole(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder that is there with all its content or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / folder.name
        made.mkdir()
        fill(made)
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise


def _build_head(model: tf_keras.Model) -> None:
    """Give a head its variables, which Model Garden leaves to the first call without a decoder."""
    head = getattr(model, "head", None)
    if head is not None and not head.variables:
        features = model.backbone.output
        head(features if model.decoder is None else model.decoder(features))


def _restore(items: Mapping[str, Any], prefix: str, what: str) -> int:
    """Restore every variable of some modules from a checkpoint, or say which one it lacks."""
    variables = [v for module in tf.nest.flatten(dict(items)) for v in module.variables]
    checkpoint = tf.train.Checkpoint(**items)
    try:
        found = {id(node) for node in tf.train.CheckpointView(prefix).match(checkpoint).values()}
        missing = [variable.name for variable in variables if id(variable) not in found]
        if missing or not variables:
            raise ValueError(
                f"{len(missing)} of {len(variables)} variables are missing, such as "
                f"{', '.join(missing[:3])}; it is of another model"
            )
        checkpoint.read(prefix).expect_partial().assert_existing_objects_matched()
    except (*_UNREADABLE, AssertionError, ValueError) as error:
        raise ValueError(f"{prefix} does not fit {what}: {error}") from error
    log.info("Restored %d of %d variables of %s", len(variables), len(variables), what)
    return len(variables)


def _restore_all_but_classes(model: tf_keras.Model, trained: tf_keras.Model, prefix: str) -> int:
    """Restore what does not depend on the number of classes, by way of a model that has theirs."""
    _build_head(model)
    _build_head(trained)
    _restore(trained.checkpoint_items, prefix, "the pretrained detector")
    new = []
    for variable, value in zip(model.variables, trained.variables, strict=True):
        if variable.shape == value.shape:
            variable.assign(value.numpy())
        else:
            new.append(variable.name)
    log.info(
        "Restored %d of %d variables of the detector; new: %s",
        len(model.variables) - len(new),
        len(model.variables),
        ", ".join(new) or "none, since it was trained on as many classes",
    )
    return len(model.variables) - len(new)
