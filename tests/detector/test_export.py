"""A bundle detects what the detector detects that it was made of, whoever runs it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.detector import exported

from boxloop.bundle import read_bundle
from boxloop.data.dataset import XYXY
from boxloop.data.demo_scene import CLASSES
from boxloop.inference.portable import Detector, Found, Spec, decode, find, fit
from boxloop.prediction import detect, open_bundle
from boxloop.settings import PredictConfig

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*Input dict contained keys:UserWarning"),
]


@pytest.fixture(scope="module")
def samples() -> list[bytes]:
    return exported.samples()


def assert_same(one: Found, other: Found) -> None:
    """Compare detections in whatever order: some have the same score."""
    from boxloop.detector.verify import Tolerance, _compare

    close = Tolerance(min_iou=0.999, max_score_difference=1e-3)
    count = len(one.scores)
    assert count > 3
    assert _compare([one], [other], close, limit=1000) == (2 * count, 0)
    assert (np.diff(other.scores) <= 0).all()
    assert (other.boxes_xyxy[:, :2] < other.boxes_xyxy[:, 2:]).all()


def answers(bundle: Path, sample: bytes) -> Iterator[Found]:
    """Ask each signature of the SavedModel, and then TFLite, about an image."""
    import tensorflow as tf

    signatures = tf.saved_model.load(str(bundle)).signatures
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[sample]))
    example = tf.train.Example(features=tf.train.Features(feature={"image/encoded": feature}))
    inputs = {
        "serving_default": {"image_bytes": tf.constant([sample])},
        "image_tensor": {"images": tf.constant(decode(sample)[None])},
        "tf_example": {"examples": tf.constant([example.SerializeToString()])},
    }
    for name, given in inputs.items():
        found = {key: value[0].numpy() for key, value in signatures[name](**given).items()}
        count = found["num_detections"]
        assert not found["detection_scores"][count:].any()
        boxes = found["detection_boxes"][:count, [1, 0, 3, 2]]
        yield Found(boxes, found["detection_classes"][:count], found["detection_scores"][:count])
    spec = Spec.read(bundle)
    fitted = fit(decode(sample), spec)
    raw = signatures["candidates"](frames=tf.constant(fitted.frame[None]))
    yield find(raw["boxes"][0].numpy(), raw["scores"][0].numpy(), fitted, spec)
    boxes, scores, _ = Detector(bundle).candidates(fitted.frame[None])
    yield find(boxes[0], scores[0], fitted, spec)


def test_all_signatures_and_tflite_detect_the_same(bundle: Path, samples: list[bytes]) -> None:
    for sample in samples:
        first, *others = answers(bundle, sample)
        for other in others:
            assert_same(first, other)


def test_boxes_flat_at_the_edge_take_nobodys_place(weights_dir: Path) -> None:
    """As those are of a detector whose learning rate was too high."""
    import tensorflow as tf

    flat, seen = [[0.0, 64.0, 9.0, 64.0]] * 20, [[4.0, 8.0, 16.0, 32.0]]
    boxes = np.array(flat + seen, np.float32)[:, None]
    scores = np.full((21, len(CLASSES)), 0.9, np.float32)
    scores[-1] = [0.8] + [0] * (len(CLASSES) - 1)
    serving = exported.serving(weights_dir)
    serving.candidates = lambda _: {"boxes": boxes[None], "scores": scores[None]}
    found = serving._detect(None, tf.constant([[0.5, 0.5]]), tf.constant([[128.0, 128.0]]))
    assert found["num_detections"].numpy().tolist() == [1]
    assert found["detection_boxes"][0, 0].numpy().tolist() == [8, 16, 32, 64]
    assert found["detection_classes"][0, :2].numpy().tolist() == [1, 0]


def test_a_bundle_is_whole_and_was_verified(bundle: Path) -> None:
    described = read_bundle(bundle)
    rounded = {f"detector_{kind}.tflite" for kind in ("float16", "int8")}
    assert described["verified"].keys() == {"saved_model.pb", "detector.tflite"} | rounded
    assert described["verified"]["detector.tflite"]["detections"] > 50
    assert described["verified"]["detector.tflite"]["lost"] == 0
    assert {"detect.py", "README.md", "experiment.yaml", *rounded} <= described["files"].keys()
    assert (bundle / "detector_int8.tflite").stat().st_size < 0.5 * (
        bundle / "detector.tflite"
    ).stat().st_size


@pytest.mark.parametrize("name", ["saved_model.pb", "detector.tflite"])
def test_a_file_of_other_weights_is_no_export(
    name: str, weights_dir: Path, bundle: Path, samples: list[bytes], tmp_path: Path
) -> None:
    from boxloop.detector import tflite, verify

    folder = shutil.copytree(bundle, tmp_path / "model")
    fitted = [fit(decode(sample), Spec.read(folder)) for sample in samples]
    other = exported.serving(exported.save_weights(2, tmp_path / "other"))
    mine = other
    if name == "detector.tflite":
        tflite.convert(other.candidates, folder, [])
        mine = exported.serving(weights_dir)
    pairs = list(zip(samples, fitted, strict=True))
    with pytest.raises(
        ValueError, match=rf"{name} does not (score|detect) as the trained detector does"
    ):
        verify.verify(mine.candidates, folder, Spec.read(folder), pairs)


def test_chance_at_the_limit_of_detections_is_no_difference() -> None:
    from boxloop.detector.verify import EQUAL, _compare

    def found(left: list[float], scores: list[float]) -> Found:
        boxes = np.array([[x, 0, x + 10, 10] for x in left], float)
        return Found(boxes, np.ones(len(left), int), np.array(scores))

    one, other = found([0, 50, 80], [0.9, 0.2, 0.2]), found([0, 20, 30], [0.9, 0.2, 0.2])
    assert _compare([one], [other], EQUAL, limit=3) == (2, 0)
    assert _compare([one], [other], EQUAL, limit=4) == (6, 4)
    assert _compare([one], [found([9, 20, 30], [0.9, 0.2, 0.2])], EQUAL, limit=3) == (2, 2)


@pytest.mark.parametrize("batch_size", [2, 8])
def test_engines_detect_the_same(
    batch_size: int, bundle: Path, samples: list[bytes], tmp_path: Path
) -> None:
    images = pd.DataFrame({"image_id": [f"{n}.png" for n in range(len(samples))]})
    images["uri"] = [str(tmp_path / name) for name in images["image_id"]]
    for uri, sample in zip(images["uri"], samples, strict=True):
        Path(uri).write_bytes(sample)
    tables = []
    for name in ("tflite", "tensorflow"):
        opened = open_bundle(bundle, PredictConfig(engine=name, batch_size=batch_size))
        assert opened[0].name == name
        tables.append(detect(opened, images)[0])
    for image_id in images["image_id"]:
        one, other = (table[table["image_id"] == image_id] for table in tables)
        assert_same(to_found(one), to_found(other))


def to_found(table: pd.DataFrame) -> Found:
    class_ids = np.array([CLASSES.index(name) for name in table["class_name"]]) + 1
    return Found(table[list(XYXY)].to_numpy(), class_ids, table["score"].to_numpy())


def test_what_xla_compiled_detects_the_same(bundle: Path, samples: list[bytes]) -> None:
    import tensorflow as tf

    from boxloop.detector.serving import load_candidates

    frames = np.stack([fit(decode(sample), Spec.read(bundle)).frame for sample in samples])
    plain = load_candidates(bundle, Spec.read(bundle), compiled=False)(tf.constant(frames))
    try:
        compiled = load_candidates(bundle, Spec.read(bundle), compiled=True)(tf.constant(frames))
    finally:
        tf.config.optimizer.set_experimental_options({"auto_mixed_precision": False})
    for one, other, tolerance in zip(plain, compiled, (0.1, 1e-3, 1e-3), strict=True):
        assert other.numpy() == pytest.approx(one.numpy(), abs=tolerance)


def test_engines_embed_images_by_the_backbone(
    bundle: Path, weights_dir: Path, samples: list[bytes]
) -> None:
    import tensorflow as tf

    from boxloop.inference.engine import open_engine

    spec = Spec.read(bundle)
    frames = np.stack([fit(decode(sample), spec).frame for sample in samples])
    model = exported.serving(weights_dir).model
    images = (frames / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    coarsest = model.backbone(tf.constant(images, tf.float32), training=False)["5"]
    expected = coarsest.numpy().mean(axis=(1, 2))
    close = 1e-4 * float(np.abs(expected).max())  # weights by chance make small numbers
    assert np.abs(expected[0] - expected[1]).max() > 100 * close
    for name in ("tflite", "tensorflow"):
        engine = open_engine(bundle, spec, name, has_tflite=True, batch_size=8)
        assert engine.candidates(frames)[2] == pytest.approx(expected, abs=close)
    for name in ("detector_float16.tflite", "detector_int8.tflite"):
        embeddings = Detector(bundle, name).candidates(frames[:1])[2]
        assert embeddings is not None
        assert embeddings.shape == expected[:1].shape


def test_bundles_exported_before_there_were_embeddings_detect(
    bundle: Path,
    weights_dir: Path,
    samples: list[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from boxloop.detector.serving import Serving
    from boxloop.inference.engine import open_engine

    make = Serving._candidates

    def as_it_was(self: Serving, frames: Any) -> dict[str, Any]:
        outputs = make(self, frames)
        return {name: outputs[name] for name in ("boxes", "scores")}

    monkeypatch.setattr(Serving, "_candidates", as_it_was)
    old = exported.export_bundle(weights_dir, tmp_path / "old")
    spec = Spec.read(old)
    fitted = fit(decode(samples[0]), spec)
    for name in ("tflite", "tensorflow"):
        found = []
        for folder in (old, bundle):
            engine = open_engine(folder, spec, name, has_tflite=True, batch_size=8)
            boxes, scores, embeddings = engine.candidates(fitted.frame[None])
            assert (embeddings is None) == (folder == old)
            found.append(find(boxes[0], scores[0], fitted, spec))
        assert_same(*found)
