"""The micro detector with weights by chance, that finds many things, and its bundle."""

from pathlib import Path
from typing import Any

import numpy as np
from tests.data.pictures import encoded

from boxloop.data.demo_scene import CLASSES, SIDE, draw_scene
from boxloop.experiment import read_experiment
from boxloop.settings import Experiment

MICRO = "tests/data/micro.yaml"
SIZES = [(SIDE, SIDE), (SIDE, 90), (61, SIDE), (40, 33), (300, 200)]
DESCRIPTION = {
    "model": "retinanet_lite0_64",
    "task": "RetinaNet",
    "round": 1,
    "data": {"training_images": 16},
}


def samples() -> list[bytes]:
    """Return scenes of all sizes."""
    scenes = [draw_scene(np.random.default_rng(n), CLASSES[n])[0] for n in range(len(SIZES))]
    return [encoded(s.resize(size), "PNG") for s, size in zip(scenes, SIZES, strict=True)]


def experiment() -> Experiment:
    """Return the micro experiment, with settings under which detections are told apart."""
    micro = read_experiment(MICRO)
    rules = {"pre_nms_score_threshold": 0.2, "max_num_detections": 100}
    micro.model.overrides["task"]["model"]["detection_generator"] |= rules
    return micro


def save_weights(seed: int, folder: Path) -> Path:
    """Save weights whose head scores anything between 0 and 1, and moves boxes a little."""
    import tf_keras

    from boxloop.detector import weights

    tf_keras.utils.set_random_seed(seed)
    model = _build()
    weights._build_head(model)
    random = np.random.default_rng(seed)
    for variable in model.head.trainable_variables:
        scale = 0.1 if "box" in variable.name else 0.8
        variable.assign(variable + random.normal(scale=scale, size=variable.shape))
    weights.save(model, folder)
    return folder


def serving(weights_dir: Path) -> Any:
    from boxloop.detector import weights
    from boxloop.detector.config import build_config
    from boxloop.detector.serving import Serving

    model = _build()
    weights.read(model, weights_dir)
    return Serving(build_config(experiment(), len(CLASSES)), model)


def export_bundle(weights_dir: Path, folder: Path) -> Path:
    from boxloop.detector.export import export

    export(
        experiment(),
        class_names=CLASSES,
        weights_dir=weights_dir,
        folder=folder,
        samples=samples(),
        description=DESCRIPTION,
    )
    return folder


def _build() -> Any:
    from official.core import task_factory

    from boxloop.detector.config import build_config

    config = build_config(experiment(), len(CLASSES))
    config.task.model.detection_generator.apply_nms = False
    return task_factory.get_task(config.task).build_model()
