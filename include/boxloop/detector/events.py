"""What TensorBoard is shown beyond the scalars that Model Garden's loop writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from official.core import train_lib
from official.vision.ops import preprocess_ops
from PIL import Image, ImageDraw

from boxloop.evaluation.pascal import ImageResult

NUM_PICTURES = 8
MIN_SCORE = 0.25  # fainter detections would hide the picture
COLOUR = "#00c2a8"


def write_pictures(
    runner: train_lib.OrbitExperimentRunner,
    results: Sequence[ImageResult],
    class_names: Sequence[str],
) -> None:
    """Write the first images of an evaluation with the detections drawn on them.

    Args:
        runner: has evaluated.
        results: of the first images, in order; boxes ymin, xmin, ymax, xmax in their own pixels.
        class_names: in the order of their ids.
    """
    data = runner.trainer.task.build_inputs(runner.params.task.validation_data)
    images, labels = next(iter(data))
    pixels = images[:NUM_PICTURES] * preprocess_ops.STDDEV_RGB + preprocess_ops.MEAN_RGB
    pixels = tf.cast(tf.clip_by_value(pixels, 0, 255), tf.uint8).numpy()
    scales = np.tile(labels["image_info"][:, 2], 2)  # of an image to the model's input
    pictures = np.stack(
        [_draw(*one, class_names) for one in zip(pixels, scales, results, strict=False)]
    )
    with runner.controller.eval_summary_manager.summary_writer().as_default():
        tf.summary.image(
            "detections", pictures, step=runner.trainer.global_step, max_outputs=NUM_PICTURES
        )


def _draw(pixels: Any, scale: Any, result: ImageResult, class_names: Sequence[str]) -> Any:
    """Return an image with its detections, as an array of its shape."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for box, class_id, score in zip(result.boxes * scale, result.ids, result.scores, strict=True):
        top, left, bottom, right = box.tolist()
        if score >= MIN_SCORE and top < bottom and left < right:
            draw.rectangle((left, top, right, bottom), outline=COLOUR)
            draw.text((left + 2, top), f"{class_names[class_id - 1]} {score:.2f}", fill=COLOUR)
    return np.asarray(image)
