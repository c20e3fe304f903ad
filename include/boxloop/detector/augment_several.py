"""Random changes that take several decoded examples: mosaic, and boxes pasted in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from boxloop.detector.augment_one import (
    Example,
    image_size,
    join_boxes,
    pixel_boxes,
    take_boxes,
    with_boxes,
    zoom,
)

_CENTRE = (0.3, 0.7)  # where the four images of a mosaic meet, as a share of the sides
_ZOOM = 1.5  # at the most, from where an image just fills its quarter

_PASTED = (0.5, 1.5)  # size of a pasted box, to that in its own image
_LARGEST = 0.6  # of the image's sides
_SMALLEST = 4.0  # pixels
_COVERED = 0.1  # largest share of another box that may be covered
_PLACES = 20  # drawn until one fits
_FEATHER = 0.08  # of the shorter side, over which a pasted box fades in


def mosaic(examples: Sequence[Example], seed: Any, *, share: float) -> Example:
    """Return the first example, or with probability `share` four put together.

    The four meet at a random point of a picture as large as the first. Each fills its quarter,
    zoomed by up to half again, and what lies outside of it is cut off.

    Args:
        examples: four.
        seed: shape (2,).
        share: in [0, 1].

    Source: Bochkovskiy, Wang and Liao, "YOLOv4", arXiv 2004.10934, section 3.3.
    """
    draw = tf.random.stateless_uniform([15], seed)
    size = tf.shape(examples[0]["image"])[:2]

    def put_together() -> Example:
        low, high = _CENTRE
        at = tf.round(image_size(examples[0]) * (low + (high - low) * draw[1:3]))
        at = tf.clip_by_value(tf.cast(at, tf.int32), 1, size - 1)
        return _put_together(examples, at, tf.reshape(draw[3:], [4, 3]))

    is_chosen = (draw[0] < share) & tf.reduce_all(size > 1)
    return _either(is_chosen, put_together, examples[0])


def _put_together(examples: Sequence[Example], at: Any, draws: Any) -> Example:
    sizes = (at, tf.shape(examples[0]["image"])[:2] - at)  # of the upper left, the lower right
    parts, origins = [], []
    for number, example in enumerate(examples):
        row, column = divmod(number, 2)
        size = tf.stack([sizes[row][0], sizes[column][1]])
        parts.append(_fill(example, size, draws[number]))
        origins.append(at * [row, column])
    images = [part["image"] for part in parts]
    rows = [tf.concat(images[:2], axis=1), tf.concat(images[2:], axis=1)]
    boxes = [
        pixel_boxes(part) + tf.tile(tf.cast(origin, tf.float32), [2])
        for part, origin in zip(parts, origins, strict=True)
    ]
    joined = {**examples[0], **join_boxes(parts)}
    return with_boxes(joined, tf.concat(rows, axis=0), tf.concat(boxes, axis=0))


def _fill(example: Example, size: Any, draw: Any) -> Example:
    """Zoom so that the image covers `size`, and cut out a part of it."""
    source, target = image_size(example), tf.cast(size, tf.float32)
    scale = tf.reduce_max(target / source) * (1 + (_ZOOM - 1) * draw[0])
    sides = tf.clip_by_value(tf.round(target / scale), 1.0, source)
    return _cut(example, tf.round((source - sides) * draw[1:]), sides, size)


def _cut(example: Example, low: Any, sides: Any, size: Any) -> Example:
    """Return a part of the image, from whole pixels `low`, resized to `size`."""
    corners = tf.cast(low, tf.int32), tf.cast(low + sides, tf.int32)
    boxes = pixel_boxes(example) - tf.tile(low, [2])
    scale = tf.tile(tf.cast(size, tf.float32) / sides, [2])
    return with_boxes(example, zoom(example["image"], *corners, size), boxes * scale)


def paste(
    examples: Sequence[Example], seed: Any, *, share: float, weigh: Callable[[Any], Any]
) -> Example:
    """Return the first example, with probability `share` with a box of the others pasted in.

    Its edges fade into the picture, so that they teach nothing. Where no place is found that
    leaves the other boxes visible, nothing is pasted.

    Args:
        examples: the first is pasted into.
        seed: shape (2,).
        share: in [0, 1].
        weigh: from class ids to how readily a box is taken, at least 0.

    Source: Dwibedi, Misra and Hebert, "Cut, Paste and Learn", ICCV 2017, without masks.
    """
    draw = tf.random.stateless_uniform([3 + 2 * _PLACES], seed)
    donors = examples[1:]
    numbers = [tf.repeat(i, tf.shape(e["groundtruth_boxes"])[0]) for i, e in enumerate(donors)]
    boxes = tf.round(tf.concat([pixel_boxes(donor) for donor in donors], axis=0))
    joined = join_boxes(list(donors))
    is_large = tf.reduce_all(boxes[:, 2:] - boxes[:, :2] >= _SMALLEST, axis=1)
    is_fine = is_large & ~joined["groundtruth_is_crowd"]
    weights = weigh(joined["groundtruth_classes"]) * tf.cast(is_fine, tf.float32)

    def paste_one() -> Example:
        sums = tf.cumsum(weights)
        index = tf.searchsorted(sums, draw[1:2] * sums[-1], side="right")
        index = tf.minimum(index, tf.size(weights) - 1)  # a draw next to 1 may be rounded up
        donor = tf.concat(numbers, axis=0)[index[0]]
        image = tf.switch_case(donor, [lambda e=e: e["image"] for e in donors])
        cut = {**take_boxes(joined, index), "image": image}
        return _paste_into(examples[0], cut, boxes[index[0]], draw[2:])

    is_chosen = (draw[0] < share) & (tf.reduce_sum(weights) > 0)
    return _either(is_chosen, paste_one, examples[0])


def _paste_into(example: Example, cut: Example, box: Any, draw: Any) -> Example:
    """Paste the box of `cut`, whose keys per box are of this box alone."""
    size = image_size(example)
    low, high = _PASTED
    scale = (low + (high - low) * draw[0]) * tf.reduce_min(size / image_size(cut))
    scale = tf.minimum(scale, tf.reduce_min(_LARGEST * size / (box[2:] - box[:2])))
    sides = tf.round((box[2:] - box[:2]) * scale)
    corners = tf.round(tf.reshape(draw[1:], [_PLACES, 2]) * (size - sides))
    places = tf.concat([corners, corners + sides], axis=1)
    fits = tf.reduce_all(_covered(pixel_boxes(example), places) <= _COVERED, axis=1)
    place = places[tf.argmax(fits)]

    def pasted() -> Example:
        corners = tf.cast(box[:2], tf.int32), tf.cast(box[2:], tf.int32)
        patch = zoom(cut["image"], *corners, tf.cast(sides, tf.int32))
        image = _blend(example["image"], patch, tf.cast(place[:2], tf.int32))
        both = {**example, **join_boxes([example, cut])}
        return with_boxes(both, image, tf.concat([pixel_boxes(example), place[None]], axis=0))

    return _either(tf.reduce_any(fits) & tf.reduce_all(sides >= _SMALLEST), pasted, example)


def _covered(boxes: Any, by: Any) -> Any:
    """Return the share of each box's area that lies under each other one: shape (by, boxes)."""
    low = tf.maximum(boxes[None, :, :2], by[:, None, :2])
    high = tf.minimum(boxes[None, :, 2:], by[:, None, 2:])
    overlap = tf.reduce_prod(tf.maximum(high - low, 0.0), axis=2)
    return tf.math.divide_no_nan(overlap, tf.reduce_prod(boxes[:, 2:] - boxes[:, :2], axis=1))


def _blend(image: Any, patch: Any, at: Any) -> Any:
    """Return the image with the patch in it, its upper left corner at `at`."""
    (top, left), (bottom, right) = tf.unstack(at), tf.unstack(at + tf.shape(patch)[:2])
    under = tf.cast(image[top:bottom, left:right], tf.float32)
    opacity = _opacity(tf.shape(patch)[:2])[..., None]
    mixed = tf.round(under + (tf.cast(patch, tf.float32) - under) * opacity)
    middle = [image[top:bottom, :left], tf.cast(mixed, tf.uint8), image[top:bottom, right:]]
    return tf.concat([image[:top], tf.concat(middle, axis=1), image[bottom:]], axis=0)


def _opacity(size: Any) -> Any:
    """Return 1 in the middle of a patch, falling towards its edges: shape `size`."""
    fade = tf.maximum(1.0, _FEATHER * tf.cast(tf.reduce_min(size), tf.float32))
    sides = []
    for side in tf.unstack(size):
        centres = tf.range(tf.cast(side, tf.float32)) + 0.5
        inside = tf.minimum(centres, tf.cast(side, tf.float32) - centres)
        sides.append(tf.clip_by_value(inside / fade, 0.0, 1.0))
    return sides[0][:, None] * sides[1][None, :]


def _either(is_chosen: Any, change: Callable[[], Example], example: Example) -> Example:
    changed: Example = tf.cond(is_chosen, change, lambda: example)
    return changed
