"""Export a trained detector as a bundle, and make sure that the bundle detects as it does."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from official.core import config_definitions, task_factory
from official.vision.ops import preprocess_ops
from tf_keras.src.saving.legacy.saved_model import utils as keras_saving

from boxloop import bundle
from boxloop.data.formats.label_map import build_label_map
from boxloop.detector import tflite, verify, weights
from boxloop.detector.config import build_config
from boxloop.detector.serving import Serving
from boxloop.experiment import experiment_yaml
from boxloop.inference import portable
from boxloop.inference.portable import Spec, decode, fit
from boxloop.model_card import build_readme
from boxloop.settings import Experiment


def export(
    experiment: Experiment,
    *,
    class_names: Sequence[str],
    weights_dir: Path,
    folder: Path,
    samples: Sequence[bytes],
    description: Mapping[str, Any],
) -> dict[str, Any]:
    """Write a bundle: SavedModel, TFLite files, label map, a script that detects, bundle.json.

    Args:
        experiment: whose detector it is.
        class_names: in the order of their ids, from 1.
        weights_dir: what training wrote.
        folder: empty, or not there.
        samples: encoded images, on which every file of the bundle must detect what the detector
            detects; and from which int8 learns the ranges of activations.
        description: of where the model comes from, for bundle.json.

    Returns:
        The description as written.

    Raises:
        ValueError: if a file of the bundle does not detect as the detector does.
    """
    config = build_config(experiment, len(class_names))
    config.task.model.detection_generator.apply_nms = False  # boxloop/detector/serving.py has it
    model = task_factory.get_task(config.task).build_model()
    weights.read(model, weights_dir)
    serving = Serving(config, model)
    settings = {"classes": list(class_names), **_settings(config)}
    spec = Spec.of(settings)
    _save(serving, folder)
    (folder / bundle.LABEL_MAP).write_text(build_label_map(class_names), "utf-8")
    frames = [fit(decode(sample, upright=False), spec) for sample in samples]
    written = tflite.convert(serving.candidates, folder, [fitted.frame for fitted in frames])
    if portable.MODEL in written:
        shutil.copyfile(portable.__file__, folder / "detect.py")
    images = list(zip(samples, frames, strict=True))
    verified = verify.verify(serving.candidates, folder, spec, images)
    described = {**description, **settings, "verified": verified}
    names = [path.name for path in folder.iterdir()]
    (folder / "README.md").write_text(build_readme({**described, "files": names}), "utf-8")
    (folder / "experiment.yaml").write_bytes(experiment_yaml(experiment))
    bundle.write_bundle(folder, described)
    return bundle.read_bundle(folder)


def _save(serving: Serving, folder: Path) -> None:
    # Without this, Keras traces every layer for reloading it as a Keras model, which nobody
    # does with a SavedModel for serving: 39 s instead of 16 s.
    with keras_saving.keras_option_scope(save_traces=False):
        tf.saved_model.save(serving, str(folder), signatures=serving.signatures())


def _settings(config: config_definitions.ExperimentConfig) -> dict[str, Any]:
    """Return what has to be known to feed a model and to read its answer."""
    height, width = config.task.model.input_size[:2]
    rules = config.task.model.detection_generator
    return {
        "input": {
            "height": height,
            "width": width,
            "colours": "RGB, 0 to 255, float32; the model itself subtracts the mean",
            "resize": "bilinear, half-pixel centres, no anti-aliasing; the rest has the mean",
            "keep_aspect_ratio": config.task.train_data.parser.keep_aspect_ratio,
            "mean_rgb": list(preprocess_ops.MEAN_RGB),
        },
        "detection": {
            "min_score": rules.pre_nms_score_threshold,
            "max_iou": rules.nms_iou_threshold,
            "max_detections": rules.max_num_detections,
        },
    }
