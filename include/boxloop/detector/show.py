"""What training sees of a few images, as one picture: `python -m boxloop.detector.show REQUEST`.

The child process of `boxloop train --show-augmented`, which writes the request.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from official.core import task_factory
from official.vision.ops import box_ops, preprocess_ops

from boxloop import storage
from boxloop.detector.augment import augment_examples
from boxloop.detector.config import build_config, set_training_data
from boxloop.detector.inputs import decode_with_codes, reader
from boxloop.experiment import read_experiment
from boxloop.report.contact_sheet import LabelledBox, Picture, build_sheet, class_colour
from boxloop.settings import Experiment
from boxloop.train_settings import TrainConfig

HEADINGS = ("as it is", "as training sees it", "and again", "and again")
TELL_ALL = TrainConfig(box_loss_on_adopted=False)  # so that adopted boxes can be told apart


@dataclass(frozen=True)
class Pipeline:
    """How training reads an image: Model Garden's functions, and what decodes their result."""

    decode: Callable[[Any], Any]
    parse: Callable[[Any], Any]
    box_coder_weights: Sequence[float] | None


def show(
    experiment: Experiment,
    shards: Sequence[Path],
    *,
    class_names: Sequence[str],
    class_counts: Sequence[int],
    count: int,
) -> list[list[Picture]]:
    """Return pictures of the first images in the shards: the image, and what training sees of it.

    Args:
        experiment: model and augmentation.
        shards: TFRecord files, of which all images take part in mosaics and pasting.
        class_names: in the order of class ids, from 1.
        class_counts: how frequent each class is.
        count: images to show.
    """
    tf_keras.utils.set_random_seed(experiment.seed)
    num_classes = len(class_names) + 1
    pipeline = _pipeline(experiment, shards, num_classes)
    records = tf.data.TFRecordDataset([str(shard) for shard in shards])
    decoded = records.map(partial(decode_with_codes, pipeline.decode, num_classes, TELL_ALL))
    originals = {example["source_id"].numpy(): example for example in decoded.take(count)}
    num_images = sum(1 for _ in records)
    stream = decoded.shuffle(num_images, experiment.seed).repeat()
    augmented = augment_examples(
        stream, experiment.train.augment, class_counts=class_counts, seed=experiment.seed
    )
    names = ["", *class_names]
    rows = {
        source_id: [_picture(original["image"].numpy(), *_all_boxes(original), names)]
        for source_id, original in originals.items()
    }
    for example in augmented.take(num_images * (len(HEADINGS) - 1)):  # each image once an epoch
        if (source_id := example["source_id"].numpy()) in rows:
            image, labels = pipeline.parse(example)
            seen = _seen_boxes(labels, pipeline.box_coder_weights)
            rows[source_id].append(_picture(_to_pixels(image), *seen, names))
    return list(rows.values())


def _pipeline(experiment: Experiment, shards: Sequence[Path], num_classes: int) -> Pipeline:
    config = build_config(experiment, num_classes - 1)
    set_training_data(config, shards, train=experiment.train, seed=experiment.seed)
    params = config.task.train_data
    with reader(lambda params, **functions: SimpleNamespace(read=lambda **_: functions)):
        functions = task_factory.get_task(config.task).build_inputs(params)
    weights = getattr(config.task.model.detection_generator, "box_coder_weights", None)
    return Pipeline(functions["decoder_fn"], functions["parser_fn"], weights)


def _all_boxes(example: Any) -> tuple[Any, Any]:
    """Return the boxes of a decoded example in pixels, shape (N, 4), and their ids."""
    size = example["image"].shape[:2]
    boxes = example["groundtruth_boxes"].numpy() * np.tile(size, 2)
    return boxes, example["groundtruth_classes"].numpy()


def _seen_boxes(labels: Any, box_coder_weights: Sequence[float] | None) -> tuple[Any, Any]:
    """Return the boxes that the model is to find, ymin, xmin, ymax, xmax, and their ids.

    R-CNN's parser gives them; RetinaNet's gives what it wants of the anchors, which is decoded.
    """
    if "gt_boxes" in labels:
        is_box = labels["gt_classes"].numpy() >= 0
        return labels["gt_boxes"].numpy()[is_box], labels["gt_classes"].numpy()[is_box]
    found = []
    for level, ids in labels["cls_targets"].items():
        is_object = np.ravel(ids) > 0
        anchors = tf.reshape(labels["anchor_boxes"][level], [-1, 4])[is_object]
        targets = tf.reshape(labels["box_targets"][level], [-1, 4])[is_object]
        boxes = box_ops.decode_boxes(targets, anchors, box_coder_weights)
        found.append(np.column_stack([boxes, np.ravel(ids)[is_object]]))
    unique = np.unique(np.concatenate(found).round(1), axis=0)
    return unique[:, :4], unique[:, 4].astype(int)


def _to_pixels(image: Any) -> Any:
    mean, deviation = preprocess_ops.MEAN_RGB, preprocess_ops.STDDEV_RGB
    return np.clip(np.round(image.numpy() * deviation + mean), 0, 255).astype(np.uint8)


def _picture(pixels: Any, boxes: Any, ids: Any, names: Sequence[str]) -> Picture:
    labelled = []
    for (ymin, xmin, ymax, xmax), coded in zip(boxes.tolist(), ids.tolist(), strict=True):
        origin, class_id = divmod(coded, len(names))
        edges = (xmin, ymin, xmax, ymax)
        labelled.append(LabelledBox(edges, names[class_id], class_colour(class_id), origin > 0))
    return Picture(pixels, labelled)


def main(request_path: str) -> None:
    """Draw the picture that a request, a JSON file, asks for; see train_cli.py."""
    request = storage.read_json(request_path)
    rows = show(
        read_experiment(request["experiment"]),
        [Path(shard) for shard in request["shards"]],
        class_names=request["class_names"],
        class_counts=request["class_counts"],
        count=request["count"],
    )
    build_sheet(rows, title=request["title"], headings=HEADINGS).save(request["output"])


if __name__ == "__main__":
    main(sys.argv[1])
