"""A box with a weight of w teaches w times as much, on Model Garden's own targets and losses."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boxloop.data.examples import build_shard, encode_example
from boxloop.data.formats.annotation import Box
from boxloop.experiment import read_model
from boxloop.settings import DataConfig, DrawnConfig, Experiment
from boxloop.train_settings import AugmentConfig, TrainConfig

pytestmark = pytest.mark.slow

NAMES = ["pip", "tock"]
K = len(NAMES) + 1
BOXES = [Box("pip", 8, 8, 60, 60), Box("tock", 70, 64, 124, 120)]
STILL = AugmentConfig(flip=False, scale_min=1.0, scale_max=1.0)


@pytest.mark.parametrize("weights", [[1.0, 0.25], [0.5, 0.5]])
def test_anchors_of_retinanet_learn_by_the_weight_of_their_box(
    weights: list[float], tmp_path: Path
) -> None:
    task, plain = _task_and_labels("retinanet_lite0_128", [1.0, 1.0], tmp_path)
    _, light = _task_and_labels("retinanet_lite0_128", weights, tmp_path)
    anchors = _flat(plain["cls_targets"], 1)[0, :, 0]
    expected = np.array([1.0, 1.0, *weights])[anchors + 1]  # -1, background, and none has id 0
    assert {-1, 1, 2} == set(anchors.tolist())
    for output, per_anchor in (("cls_outputs", K), ("box_outputs", 4)):
        before, after = (
            _flat(_gradients(task.build_losses, labels, _retinanet_outputs(labels))[output], n)
            for labels, n in ((plain, per_anchor), (light, per_anchor))
        )
        assert (np.abs(before).max(axis=2)[0][anchors > 0] > 0).all()
        np.testing.assert_allclose(after, before * expected[None, :, None], rtol=1e-4, atol=1e-9)


def test_a_weight_keeps_its_class_and_place(tmp_path: Path) -> None:
    _, plain = _task_and_labels("retinanet_lite0_128", [1.0, 1.0], tmp_path)
    _, light = _task_and_labels("retinanet_lite0_128", [1.0, 0.125], tmp_path)
    for name in ("cls_targets", "box_targets"):
        for level, targets in plain[name].items():
            np.testing.assert_array_equal(light[name][level], targets)


def test_regions_are_proposed_by_the_weight_of_their_box(tmp_path: Path) -> None:
    from boxloop.detector.targets import rpn_losses

    task, labels = _task_and_labels("faster_rcnn_lite0", [1.0, 0.25], tmp_path)
    weights = {level: w.numpy() for level, w in labels["rpn_weights"].items()}
    assert {w for level in weights.values() for w in level.ravel()} == {1.0, 0.25}

    def weighed(outputs: Any, labels: Any) -> Any:
        return rpn_losses(task._build_rpn_losses, outputs, labels)

    outputs = _rpn_outputs(labels)
    before, after = (
        _gradients(build, labels, outputs) for build in (task._build_rpn_losses, weighed)
    )
    for level, of_level in weights.items():
        is_object = labels["rpn_score_targets"][level].numpy() == 1
        expected = np.where(is_object, of_level, 1)
        np.testing.assert_allclose(
            after["rpn_scores"][level], before["rpn_scores"][level] * expected, rtol=1e-5
        )
        by_edge = np.repeat(of_level, 4, axis=-1)
        np.testing.assert_allclose(
            after["rpn_boxes"][level], before["rpn_boxes"][level] * by_edge, rtol=1e-5
        )
    learning = [g for g in before["rpn_boxes"].values() if np.abs(g).max() > 0]
    assert learning


def test_regions_of_the_second_stage_learn_by_the_weight_of_their_box(tmp_path: Path) -> None:
    import tensorflow as tf
    from official.vision.modeling.layers.roi_sampler import ROISampler

    from boxloop.detector.targets import rcnn_losses

    task, labels = _task_and_labels("faster_rcnn_lite0", [1.0, 0.5], tmp_path)
    proposals = tf.constant([[[8.0, 8, 62, 60], [64, 72, 120, 124], [0, 100, 20, 120]]])
    sampler = ROISampler(num_sampled_rois=5, foreground_fraction=0.8)
    _, _, ids, _ = sampler(proposals, labels["gt_boxes"], labels["gt_classes"])
    ids = tf.cast(ids, tf.float32)  # as Model Garden's step casts all outputs
    weights = {0: 1.0, 1: 1.0, 2 + 8 * K: 0.5}  # half is code 8
    expected = np.array([weights[int(each)] for each in ids.numpy()[0]])
    assert set(expected) == {1.0, 0.5}

    random = np.random.default_rng(1)
    outputs = {
        "class_outputs": tf.constant(random.normal(size=(1, 5, K)), tf.float32),
        "box_outputs": tf.constant(random.normal(size=(1, 5, 4 * K)), tf.float32),
    }
    others = {"class_targets": ids, "box_targets": tf.zeros([1, 5, 4])}
    plain = {**others, "class_targets": ids % K}

    def weighed(outputs: Any, labels: Any) -> Any:
        return rcnn_losses(task._build_frcnn_losses, K, {**outputs, **others}, labels)

    def unweighed(outputs: Any, labels: Any) -> Any:
        return task._build_frcnn_losses({**outputs, **plain}, labels)

    before, after = (_gradients(build, labels, outputs) for build in (unweighed, weighed))
    for name in outputs:
        np.testing.assert_allclose(after[name], before[name] * expected[None, :, None], rtol=1e-5)
        assert (np.abs(before[name]).max(axis=2)[0][expected < 1] > 0).all()


def _task_and_labels(name: str, weights: list[float], folder: Path) -> tuple[Any, Any]:
    """Return Model Garden's task, and the labels that training sees of one image."""
    from official.core import task_factory

    from boxloop.detector.config import build_config, set_training_data
    from boxloop.detector.inputs import Inputs, build_inputs

    model = read_model(name)
    model.input_size[:] = [128, 128]
    config = TrainConfig(steps=1, warmup_steps=0, batch_size=1, augment=STILL)
    data = DataConfig(drawn=DrawnConfig())
    experiment = Experiment(name="soft", model=model, data=data, train=config)
    (folder / "a.tfrecord").write_bytes(build_shard([_record(weights)]))
    settings = build_config(experiment, len(NAMES))
    set_training_data(settings, [folder / "a.tfrecord"], train=config, seed=1)
    task = task_factory.get_task(settings.task)
    inputs = Inputs(config=config, class_counts=[1, 1], seed=1)
    is_rcnn = model.task != "RetinaNet"
    dataset = build_inputs(task.build_inputs, inputs, settings.task.train_data, is_rcnn=is_rcnn)
    _, labels = next(iter(dataset))
    return task, labels


def _record(weights: list[float]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((128, 128, 3), 90, np.uint8)).save(buffer, "PNG")
    return encode_example(
        buffer.getvalue(),
        image_id="a.png",
        source_id=1,
        width=128,
        height=128,
        boxes=BOXES,
        class_ids=[1, 2],
        origins=["human", "adopted"],
        scores=[1.0, 1.0],
        weights=weights,
    )


def _retinanet_outputs(labels: Any) -> dict[str, Any]:
    random = np.random.default_rng(1)
    found: dict[str, Any] = {"cls_outputs": {}, "box_outputs": {}}
    for level, targets in labels["cls_targets"].items():
        *shape, anchors = targets.shape
        for name, size in (("cls_outputs", K), ("box_outputs", 4)):
            found[name][level] = random.normal(size=(*shape, anchors * size)).astype(np.float32)
    return found


def _rpn_outputs(labels: Any) -> dict[str, Any]:
    import tensorflow as tf

    random = np.random.default_rng(1)
    names = {"rpn_scores": "rpn_score_targets", "rpn_boxes": "rpn_box_targets"}
    return {
        output: {
            level: tf.constant(random.normal(size=targets.shape), tf.float32)
            for level, targets in labels[name].items()
        }
        for output, name in names.items()
    } | {"box_outputs": tf.zeros([1, 16, 4])}  # its size is what the score loss is divided by


def _gradients(build: Any, labels: Any, outputs: Any) -> Any:
    """Return how the sum of the losses changes with each output."""
    import tensorflow as tf

    outputs = tf.nest.map_structure(tf.convert_to_tensor, outputs)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        losses = build(outputs, labels)
        first = losses[0] if len(losses) > 2 else sum(losses)  # RetinaNet's total comes first
    zero = tf.UnconnectedGradients.ZERO
    gradients = tape.gradient(first, outputs, unconnected_gradients=zero)
    return tf.nest.map_structure(lambda gradient: gradient.numpy(), gradients)


def _flat(levels: Any, size: int) -> Any:
    """Return what a batch has by level as one array, shape (batch, anchors, size)."""
    parts = [np.reshape(level, (np.shape(level)[0], -1, size)) for level in levels.values()]
    return np.concatenate(parts, axis=1)
