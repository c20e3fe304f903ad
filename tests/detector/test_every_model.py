"""Each model of the zoo is built, trained, exported and asked, small enough for seconds."""

import gc
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from boxloop.data.demo_scene import CLASSES, SIDE, draw_scene
from boxloop.data.examples import build_shard, encode_example
from boxloop.experiment import read_model
from boxloop.inference.portable import MODEL
from boxloop.inference.stream import Detections, detect_all, to_table
from boxloop.prediction import open_bundle
from boxloop.settings import DataConfig, DrawnConfig, Experiment, PredictConfig
from boxloop.train_settings import TrainConfig
from boxloop.zoo import model_names

pytestmark = [
    pytest.mark.slow,
    # Model Garden's MobileNetV2 and EfficientNet give a level that no decoder takes
    pytest.mark.filterwarnings("ignore:.*Input dict contained keys:UserWarning"),
]

SCENES = 2
HEAVY = {"retinanet_resnet50", "retinanet_resnet101", "retinanet_spinenet49"}
"""TFLite's converter takes many times their weights in memory: the rounded files, which the light
models and tests/detector/test_export.py have, are left out."""
FEW = {
    "roi_generator": {"num_proposals": 20, "test_num_proposals": 20},
    "roi_sampler": {"num_sampled_rois": 16},
    "detection_head": {"num_convs": 1, "fc_dims": 64},
}


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records") / "train.tfrecord"
    path.write_bytes(build_shard(example(number) for number in range(SCENES)))
    return path


@pytest.fixture(autouse=True)
def light_tensorflow() -> Iterator[None]:
    """Do not optimise graphs that run once, and forget them."""
    import tensorflow as tf
    import tf_keras

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    tf_keras.backend.clear_session()
    gc.collect()


@pytest.fixture
def only_float(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from boxloop.detector import tflite

    convert = tflite._convert

    def convert_float(function: Any, file: str, samples: Any) -> bytes:
        if file != MODEL:
            raise NotImplementedError("left out of this test")
        return convert(function, file, samples)

    if name in HEAVY:
        monkeypatch.setattr(tflite, "_convert", convert_float)


def example(number: int) -> bytes:
    _, boxes = draw_scene(np.random.default_rng(number), CLASSES[number])
    return encode_example(
        picture(number),
        image_id=f"{number}.jpg",
        source_id=number,
        width=SIDE,
        height=SIDE,
        boxes=boxes,
        class_ids=[CLASSES.index(box.class_name) + 1 for box in boxes],
        origins=["human"] * len(boxes),
        scores=[1.0] * len(boxes),
        weights=[1.0] * len(boxes),
    )


def picture(number: int) -> bytes:
    stream = io.BytesIO()
    scene, _ = draw_scene(np.random.default_rng(number), CLASSES[number])
    scene.save(stream, "JPEG")
    return stream.getvalue()


def small_experiment(name: str) -> Experiment:
    model = read_model(name)
    settings = model.overrides["task"]["model"]
    model.input_size[:] = [128, 128]
    settings["detection_generator"]["pre_nms_score_threshold"] = 0.0  # whatever it sees
    if model.task != "RetinaNet":
        settings |= {name: settings.get(name, {}) | FEW[name] for name in FEW}
    train = TrainConfig(
        steps=1, batch_size=SCENES, warmup_steps=0, learning_rate=1e-3, start="nothing"
    )
    return Experiment(name="small", model=model, data=DataConfig(drawn=DrawnConfig()), train=train)


def write_pictures(folder: Path) -> pd.DataFrame:
    paths = [folder / f"{number}.jpg" for number in range(SCENES)]
    for number, path in enumerate(paths):
        path.write_bytes(picture(number))
    return pd.DataFrame({"image_id": [p.name for p in paths], "uri": [str(p) for p in paths]})


def describe(experiment: Experiment) -> dict[str, Any]:
    model = experiment.model
    data = {"training_images": SCENES}
    return {"model": model.name, "task": model.task, "round": 1, "data": data}


@pytest.mark.usefixtures("only_float")
@pytest.mark.parametrize("name", model_names())
def test_model_takes_a_step_is_exported_and_detects(name: str, shard: Path, tmp_path: Path) -> None:
    from boxloop.detector.export import export
    from boxloop.detector.train import Data, train

    experiment = small_experiment(name)
    result = train(
        experiment,
        Data([shard], [], CLASSES, [1] * len(CLASSES)),
        model_dir=tmp_path / "checkpoints",
        weights_dir=tmp_path / "weights",
        previous_dir=None,
        seed=1,
        on_checkpoint=lambda: None,
    )
    assert result["steps"] == 1

    bundle = export(
        experiment,
        class_names=CLASSES,
        weights_dir=tmp_path / "weights",
        folder=tmp_path / "model",
        samples=[picture(number) for number in range(SCENES)],
        description=describe(experiment),
    )
    has_tflite = experiment.model.task == "RetinaNet"  # TFLite lacks what R-CNNs suppress with
    assert ({"detector.tflite", "detect.py"} <= bundle["files"].keys()) is has_tflite

    images = write_pictures(tmp_path)
    engine = "tflite" if has_tflite else "tensorflow"
    opened = open_bundle(tmp_path / "model", PredictConfig(engine=engine, batch_size=SCENES))
    assert opened[0].name == engine
    named = zip(images["image_id"], images["uri"], strict=True)
    results = list(detect_all(*opened, named, with_embeddings=True))
    detections = [each for each in results if isinstance(each, Detections)]
    assert len(detections) == len(results) == SCENES
    found = to_table(detections, CLASSES)
    assert set(found["image_id"]) == set(images["image_id"])
    assert found["score"].between(0, 1).all()
    assert found[["xmin", "ymin"]].ge(0).all(axis=None)
    assert found[["xmax", "ymax"]].le(SIDE).all(axis=None)
    vectors = np.array([each.embedding for each in detections])
    assert np.isfinite(vectors).all()
    assert np.ptp(vectors, axis=0).max() > 0
