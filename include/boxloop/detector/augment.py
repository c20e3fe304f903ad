"""Random changes to training images, boxes following, between Model Garden's decoder and parser.

Flip, zoom and RandAugment are the parser's own (`parser_overrides`); the rest is here: boxes of
other images pasted in, four images put together, rotation, brightness and colour, in this order.

Random numbers hang on the seed and on an image's place in the stream alone. So the same images in
the same order give the same bytes, whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from boxloop.detector.augment_one import recolour, rotate
from boxloop.detector.augment_several import mosaic, paste
from boxloop.train_settings import AugmentConfig

DONORS = 7  # images that follow an image, of which one may give it a box; all are held in memory
MOSAIC = 4

# Of RandAugment: what moves pixels, since the parser of R-CNNs would leave boxes behind and that
# of RetinaNet gives a box that has left the picture a twentieth of it; and what leaves no picture,
# such as Posterize, which makes all black at magnitudes below 3.
_MOVING = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
_DESTROYING = ("Invert", "Posterize", "Solarize")


def augment_examples(
    dataset: Any, config: AugmentConfig, *, class_counts: Sequence[int], seed: int
) -> Any:
    """Return a tf.data.Dataset of decoded examples with its images changed at random.

    An image keeps its size and its source id. Boxes are clipped; those with less than a fifth of
    their area left are dropped. What is switched off adds nothing to the pipeline.

    Args:
        dataset: of dicts as Model Garden's TfExampleDecoder gives: `image` (h, w, 3) uint8,
            `groundtruth_boxes` (N, 4) ymin, xmin, ymax, xmax in [0, 1], and further `groundtruth_`
            keys of shape (N, ...). Endless, since pasting and mosaic look at the images that come
            next: the last ten would be missing.
        config: what to do, and how much.
        class_counts: how frequent each class is, in the order of class ids, from 1; rare ones are
            pasted more often. An id above counts as the rest of its division by the number
            of classes with the background; where that is 0, the box is never pasted.
        seed: of all random numbers.
    """
    num_classes = len(class_counts) + 1
    weights = [0.0, *(1 / max(1, count) for count in class_counts)]
    pasted = partial(_paste_by_class, share=config.paste, weights=weights, k=num_classes)
    changes: list[tuple[float, int, Callable[..., Any]]] = [
        (config.paste, 1 + DONORS, pasted),
        (config.mosaic, MOSAIC, partial(mosaic, share=config.mosaic)),
        (config.rotation, 1, partial(rotate, degrees=config.rotation)),
        (
            config.brightness + config.colour,
            1,
            partial(recolour, brightness=config.brightness, colour=config.colour),
        ),
    ]
    for number, (amount, num_images, change) in enumerate(changes):
        if amount:
            dataset = _change(_windows(dataset, num_images), change, (seed, number))
    return dataset


def parser_overrides(config: AugmentConfig) -> dict[str, Any]:
    """Return the settings of Model Garden's parsers, those of RetinaNet and of R-CNNs."""
    settings: dict[str, Any] = {
        "aug_rand_hflip": config.flip,
        "aug_scale_min": config.scale_min,
        "aug_scale_max": config.scale_max,
    }
    if config.rand_augment:
        randaug = {"magnitude": config.rand_augment, "exclude_ops": [*_MOVING, *_DESTROYING]}
        settings["aug_type"] = {"type": "randaug", "randaug": randaug}
    return settings


def _change(dataset: Any, change: Callable[..., Any], seed: tuple[int, int]) -> Any:
    def changed(index: Any, element: Any) -> Any:
        return change(element, tf.random.fold_in(seed, index))

    return dataset.enumerate().map(changed, num_parallel_calls=tf.data.AUTOTUNE)


def _windows(dataset: Any, size: int) -> Any:
    """Return tuples of an element and those that follow it; each is read once."""
    if size == 1:
        return dataset
    none = tf.nest.map_structure(_nothing, dataset.element_spec)

    def push(window: Any, element: Any) -> Any:
        window = (*window[1:], element)
        return window, window

    return dataset.scan((none,) * size, push).skip(size - 1)


def _nothing(spec: Any) -> Any:
    return tf.zeros([side or 0 for side in spec.shape], spec.dtype)


def _paste_by_class(
    examples: Any, seed: Any, *, share: float, weights: Sequence[float], k: int
) -> Any:
    """Paste a box, chosen by the weights of classes 0 .. k-1."""

    def weigh(classes: Any) -> Any:
        return tf.gather(tf.constant(weights, tf.float32), classes % k)

    return paste(examples, seed, share=share, weigh=weigh)
