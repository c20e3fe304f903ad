"""Random changes to one decoded example, and how boxes follow an affine map of their image."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from boxloop.detector.targets import PER_BOX

_MIN_SHARE = 0.2  # of a box's area that must be left for it to be kept
_MIN_SIDE = 0.99  # pixels
_GREY = 128.0
_YIQ = [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]]
_CHROMA = [[1, 1], [1, 2], [2, 1], [2, 2]]  # where I and Q are in it

Example = dict[str, Any]


def rotate(example: Example, seed: Any, *, degrees: float) -> Example:
    """Rotate about the centre by an angle drawn from [-degrees, degrees]; corners become grey.

    A box becomes the smallest that holds its rotated corners.
    """
    angle = tf.random.stateless_uniform([], seed, -degrees, degrees) * (math.pi / 180)
    matrix = _rotation(angle)
    centre = image_size(example) / 2
    corners = tf.gather(pixel_boxes(example), [[0, 1], [0, 3], [2, 1], [2, 3]], axis=1)
    moved = tf.linalg.matmul(corners - centre, matrix, transpose_b=True) + centre
    boxes = tf.concat([tf.reduce_min(moved, axis=1), tf.reduce_max(moved, axis=1)], axis=1)
    return with_boxes(example, _rotate_image(example["image"], matrix, centre), boxes)


def recolour(example: Example, seed: Any, *, brightness: float, colour: float) -> Example:
    """Change brightness, contrast, saturation and hue, by one matrix for all pixels.

    Args:
        example: a decoded one.
        seed: shape (2,).
        brightness: largest change, as a share of the full range.
        colour: largest relative change of contrast and saturation; a tenth of it is the largest
            turn of the hue, as a share of the circle.

    Source: NTSC's YIQ, in which saturation and hue are length and angle of (I, Q).
    """
    by = tf.random.stateless_uniform([4], seed, -1.0, 1.0)
    contrast, saturation = 1 + colour * by[1], 1 + colour * by[2]
    chroma = saturation * _rotation(2 * math.pi * colour / 10 * by[3])
    in_yiq = tf.tensor_scatter_nd_update(tf.eye(3), _CHROMA, tf.reshape(chroma, [4]))
    matrix = contrast * tf.linalg.inv(_YIQ) @ in_yiq @ _YIQ
    added = 127.5 * (1 - contrast) + 255 * brightness * by[0]
    pixels = tf.reshape(tf.cast(example["image"], tf.float32), [-1, 3])
    changed = tf.linalg.matmul(pixels, matrix, transpose_b=True) + added
    return {**example, "image": tf.reshape(_to_uint8(changed), tf.shape(example["image"]))}


def zoom(image: Any, low: Any, high: Any, size: Any) -> Any:
    """Return the part of an image from the pixel `low` to `high`, exclusive, resized to `size`."""
    part = image[low[0] : high[0], low[1] : high[1]]
    return _to_uint8(tf.image.resize(part, size))


def image_size(example: Example) -> Any:
    """Return height and width in pixels, float32."""
    return tf.cast(tf.shape(example["image"])[:2], tf.float32)


def pixel_boxes(example: Example) -> Any:
    """Return the boxes in pixels, shape (N, 4), ymin, xmin, ymax, xmax."""
    return example["groundtruth_boxes"] * tf.tile(image_size(example), [2])


def with_boxes(example: Example, image: Any, boxes: Any) -> Example:
    """Return the example with another image and its boxes there, clipped.

    Boxes with less than a fifth of their area left are dropped, and those below a pixel.

    Args:
        example: has as many boxes.
        image: any size.
        boxes: shape (N, 4), ymin, xmin, ymax, xmax, pixels of `image`.
    """
    size = tf.cast(tf.tile(tf.shape(image)[:2], [2]), tf.float32)
    clipped = tf.clip_by_value(boxes, 0.0, size)
    sides = clipped[:, 2:] - clipped[:, :2]
    area = tf.reduce_prod(sides, axis=1)
    is_left = area >= _MIN_SHARE * tf.reduce_prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    keep = tf.where(is_left & tf.reduce_all(sides >= _MIN_SIDE, axis=1))[:, 0]
    moved = {"groundtruth_boxes": clipped / size, "groundtruth_area": area}
    return {**example, **take_boxes({**example, **moved}, keep), "image": image}


def take_boxes(example: Example, indices: Any) -> Example:
    """Return what an example has for the boxes of these numbers, without the rest."""
    return {name: tf.gather(v, indices) for name, v in example.items() if name.startswith(PER_BOX)}


def join_boxes(examples: list[Example]) -> Example:
    """Return what examples have for their boxes, the first example's first."""
    names = [name for name in examples[0] if name.startswith(PER_BOX)]
    return {name: tf.concat([example[name] for example in examples], axis=0) for name in names}


def _rotation(angle: Any) -> Any:
    cosine, sine = tf.cos(angle), tf.sin(angle)
    return tf.stack([tf.stack([cosine, -sine]), tf.stack([sine, cosine])])


def _rotate_image(image: Any, matrix: Any, centre: Any) -> Any:
    """Return the image with its point centre + p at centre + matrix @ p, for (y, x)."""
    back = tf.transpose(matrix)
    start = centre + tf.linalg.matvec(back, 0.5 - centre) - 0.5  # pixels are sampled in the middle
    map_xy = [back[1, 1], back[1, 0], start[1], back[0, 1], back[0, 0], start[0], 0.0, 0.0]
    rotated = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=tf.stack(map_xy)[None],
        output_shape=tf.shape(image)[:2],
        fill_value=_GREY,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.ensure_shape(rotated[0], [None, None, 3])


def _to_uint8(image: Any) -> Any:
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
