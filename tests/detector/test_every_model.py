"""Each model of the zoo is built, trained, exported and asked, small enough for seconds."""

import io
import multiprocessing
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
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

pytestmark = pytest.mark.slow

SCENES = 2
HEAVY = {"retinanet_resnet50", "retinanet_resnet101", "retinanet_spinenet49"}
"""TFLite's converter takes many times their weights in memory: the rounded files, which the light
models and tests/detector/test_export.py have, are left out."""
DEEPER = {"retinanet_resnet101"}
"""Has the operations of another model, only more of them: no TFLite file at all."""
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


def convert_float(convert: Any, function: Any, file: str, samples: Any) -> bytes:
    """Convert to float32 alone."""
    if file != MODEL:
        raise ValueError(f"{file} is not made of this model here")
    data: bytes = convert(function, file, samples)
    return data


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


@pytest.mark.parametrize("name", model_names())
def test_model_takes_a_step_is_exported_and_detects(
    name: str, shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own, since TensorFlow gives back little of a model's memory."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])  # where the process finds this module
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["boxloop.detector.export", "boxloop.detector.train"])
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        pool.submit(check_model, name, shard, tmp_path).result()


def check_model(name: str, shard: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    from boxloop.detector import tflite
    from boxloop.detector.export import export
    from boxloop.detector.train import Data, train

    warnings.simplefilter("error")
    # Model Garden's MobileNetV2 and EfficientNet give a level that no decoder takes
    warnings.filterwarnings("ignore", ".*Input dict contained keys", UserWarning)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # runs once
    if name in HEAVY:
        tflite._convert = partial(convert_float, tflite._convert)
    if name in DEEPER:
        tflite.UNKNOWN.add("Conv2D")  # so that there is none
    experiment = small_experiment(name)
    result = train(
        experiment,
        Data([shard], [], CLASSES, [1] * len(CLASSES)),
        model_dir=tmp_path / "checkpoints",
        weights_dir=tmp_path / "weights",
        previous_dir=None,
        seed=1,
        is_stopped=threading.Event(),
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
    # TFLite lacks what R-CNNs suppress with
    has_tflite = experiment.model.task == "RetinaNet" and name not in DEEPER
    assert ({"detector.tflite", "detect.py"} <= bundle["files"].keys()) is has_tflite
    check_detections(tmp_path, "tflite" if has_tflite else "tensorflow")


def check_detections(tmp_path: Path, engine: str) -> None:
    images = write_pictures(tmp_path)
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
