"""Images a second on one core: decoding alone, and with each random change to the image.

python benchmarks/augment.py     half a minute

Prints a Markdown table: images/s of drawn scenes, 256 x 256 px, JPEG, and the milliseconds that a
change adds to decoding. Processor time, so that what else runs on the machine counts little.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf  # noqa: TID253  what is measured
from official.vision.dataloaders.tf_example_decoder import TfExampleDecoder  # noqa: TID253

from boxloop.data.demo_scene import CLASSES, draw_scene
from boxloop.data.examples import encode_example
from boxloop.detector.augment import augment_examples
from boxloop.train_settings import AugmentConfig

SETTINGS: dict[str, dict[str, Any]] = {
    "decoding alone": {},
    "paste: 1": {"paste": 1.0},
    "mosaic: 1": {"mosaic": 1.0},
    "rotation: 10": {"rotation": 10.0},
    "brightness: 0.2": {"brightness": 0.2},
    "colour: 0.3": {"colour": 0.3},
}
SETTINGS["all of them"] = {k: v for settings in SETTINGS.values() for k, v in settings.items()}
NUM_SCENES, WARM_UP, NUM_IMAGES = 40, 50, 400


def main() -> None:
    """Time every setting."""
    records = list(_records())
    bare = _seconds(records, AugmentConfig())
    sys.stdout.write("| | images/s | adds, ms |\n|---|--:|--:|\n")
    for name, settings in SETTINGS.items():
        seconds = _seconds(records, AugmentConfig(**settings)) if settings else bare
        sys.stdout.write(f"| {name} | {1 / seconds:.0f} | {1000 * (seconds - bare):.1f} |\n")


def _records() -> Iterator[bytes]:
    for number in range(NUM_SCENES):
        label = CLASSES[number % len(CLASSES)]
        scene, boxes = draw_scene(np.random.default_rng(number), label)
        buffer = io.BytesIO()
        scene.save(buffer, "JPEG", quality=88)
        yield encode_example(
            buffer.getvalue(),
            image_id=str(number),
            source_id=number,
            width=scene.width,
            height=scene.height,
            boxes=boxes,
            class_ids=[CLASSES.index(box.class_name) + 1 for box in boxes],
            origins=["human"] * len(boxes),
            scores=[1.0] * len(boxes),
            weights=[1.0] * len(boxes),
        )


def _seconds(records: list[bytes], config: AugmentConfig) -> float:
    """Return the processor time of an image, read by one thread as in deterministic training."""
    dataset = tf.data.Dataset.from_tensor_slices(records).repeat().map(TfExampleDecoder().decode)
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.autotune.enabled = False
    counts = [1] * len(CLASSES)
    changed = augment_examples(dataset, config, class_counts=counts, seed=1).with_options(options)
    images = iter(changed)
    for _ in range(WARM_UP):
        next(images)
    start = time.process_time()
    for _ in range(NUM_IMAGES):
        next(images)
    return (time.process_time() - start) / NUM_IMAGES


if __name__ == "__main__":
    main()
