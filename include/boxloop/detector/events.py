"""What TensorBoard is shown beyond the scalars that Model Garden's loop writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from official.core import train_lib
from official.vision.ops import preprocess_ops
from PIL import Image, ImageDraw

NUM_PICTURES = 8
MIN_SCORE = 0.25  # fainter detections would hide the picture
COLOUR = "#00c2a8"


def write_pictures(runner: train_lib.OrbitExperimentRunner, class_names: Sequence[str]) -> None:
    """Write the first images of the evaluation with the detections drawn on them.

    Args:
        runner: set up to evaluate.
        class_names: in the order of their ids.
    """
    task, model = runner.trainer.task, runner.trainer.model
    data = task.build_inputs(runner.params.task.validation_data)
    images, labels = next(iter(data.unbatch().batch(NUM_PICTURES)))
    outputs = model(
        images,
        anchor_boxes=labels["anchor_boxes"],
        image_shape=labels["image_info"][:, 1, :],
        training=False,
    )
    pictures = np.stack([_draw(*one, class_names) for one in _each(images, outputs)])
    with runner.controller.eval_summary_manager.summary_writer().as_default():
        tf.summary.image("detections", pictures, step=runner.trainer.global_step, max_outputs=99)


def _each(images: Any, outputs: dict[str, Any]) -> Iterator[tuple[Any, Any, Any, Any]]:
    names = ("detection_boxes", "detection_classes", "detection_scores")
    pixels = images * preprocess_ops.STDDEV_RGB + preprocess_ops.MEAN_RGB
    pixels = tf.cast(tf.clip_by_value(pixels, 0, 255), tf.uint8)
    return zip(pixels.numpy(), *(outputs[name].numpy() for name in names), strict=True)


def _draw(pixels: Any, boxes: Any, ids: Any, scores: Any, class_names: Sequence[str]) -> Any:
    """Return an image with its detections, as an array of its shape."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for (top, left, bottom, right), class_id, score in zip(boxes, ids, scores, strict=True):
        if score >= MIN_SCORE and top < bottom and left < right:
            draw.rectangle((left, top, right, bottom), outline=COLOUR)
            name = class_names[int(class_id) - 1]
            draw.text((left + 2, top), f"{name} {score:.2f}", fill=COLOUR)
    return np.asarray(image)
