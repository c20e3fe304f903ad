"""Measure a model of the zoo here: `python -m boxloop.detector.measure MODEL BATCH_SIZE STEPS`."""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from official.core import config_definitions, task_factory
from official.vision.serving import detection
from PIL import Image

from boxloop.child import watch_lifeline
from boxloop.data.examples import build_shard, encode_example
from boxloop.data.formats.annotation import Box
from boxloop.detector.config import build_config
from boxloop.experiment import read_model
from boxloop.measurement import Measurement, cpu_name, write_measurement
from boxloop.progress import Stopwatch, tell
from boxloop.settings import DataConfig, DrawnConfig, Experiment
from boxloop.train_settings import ModelConfig, TrainConfig

NUM_CLASSES = 18  # the study's
BOXES = (Box("any", 0.1, 0.1, 0.5, 0.6), Box("any", 0.4, 0.3, 0.9, 0.9))  # shares of the image


def measure(model: ModelConfig, *, batch_size: int, steps: int) -> Measurement:
    """Take real training steps and detect in random images, with untrained weights.

    Training reads TFRecords through Model Garden's input pipeline; detecting begins with encoded
    images, as the exported model does. The first call of each is timed apart: it traces the graph.

    Args:
        model: the zoo entry.
        batch_size: images a step, and a call of the detector.
        steps: to time, of training and of detecting.
    """
    config = _build_config(model, batch_size, steps)
    images = _random_images(batch_size, *model.input_size)
    task = task_factory.get_task(config.task)
    detector = task.build_model()
    with tempfile.TemporaryDirectory() as folder:
        config.task.train_data.input_path = str(_write_shard(Path(folder), images, model))
        train_step = _train_step(config, task, detector)
        first_step_seconds, train_speed = _time(train_step, batch_size, steps)
    _, predict_speed = _time(_predict_step(config, detector, images), batch_size, steps)
    return Measurement(
        parameters=sum(int(np.prod(variable.shape)) for variable in detector.weights),
        batch_size=batch_size,
        train_images_per_second=round(train_speed, 2),
        first_step_seconds=round(first_step_seconds, 1),
        predict_images_per_second=round(predict_speed, 2),
        device=_device_name(),
        cores=os.cpu_count() or 1,
        tensorflow=tf.__version__,
    )


def main(arguments: list[str]) -> None:
    """Measure the model and keep the result."""
    watch_lifeline()
    logging.getLogger("absl").setLevel(logging.ERROR)
    name, batch_size, steps = arguments
    measurement = measure(read_model(name), batch_size=int(batch_size), steps=int(steps))
    write_measurement(name, measurement)


def _build_config(
    model: ModelConfig, batch_size: int, steps: int
) -> config_definitions.ExperimentConfig:
    # a learning rate so small that random images cannot make the weights explode
    train = TrainConfig(batch_size=batch_size, steps=steps, warmup_steps=0, learning_rate=1e-9)
    data = DataConfig(drawn=DrawnConfig())
    experiment = Experiment(name="measure", model=model, data=data, train=train)
    config = build_config(experiment, NUM_CLASSES)
    config.task.train_data.global_batch_size = batch_size
    config.task.train_data.dtype = "float32"
    return config


def _train_step(
    config: config_definitions.ExperimentConfig, task: Any, detector: Any
) -> Callable[[], Any]:
    batches = iter(task.build_inputs(config.task.train_data))
    optimizer = task.create_optimizer(config.trainer.optimizer_config, config.runtime)
    step = tf.function(lambda: task.train_step(next(batches), detector, optimizer))
    return lambda: step()["loss"].numpy()


def _predict_step(
    config: config_definitions.ExperimentConfig, detector: Any, images: list[bytes]
) -> Callable[[], Any]:
    module = detection.DetectionModule(
        config,
        batch_size=None,
        input_image_size=list(config.task.model.input_size[:2]),
        input_type="image_bytes",
        model=detector,
    )
    encoded = tf.constant(images)
    return lambda: module.inference_from_image_bytes(encoded)["detection_boxes"].numpy()


def _time(step: Callable[[], Any], batch_size: int, steps: int) -> tuple[float, float]:
    """Return the seconds of the first step, and the images/s of `steps` more."""
    start = time.monotonic()
    step()
    first = time.monotonic() - start
    watch = Stopwatch()
    start = time.monotonic()
    for number in range(1, steps + 1):
        step()
        tell(step=number, steps=steps, images_per_second=watch.rate(batch_size))
    return first, batch_size * steps / (time.monotonic() - start)


def _random_images(count: int, height: int, width: int) -> list[bytes]:
    """Return JPEG files of coloured clouds, which decode about as fast as photos."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(count):
        clouds = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
        stream = io.BytesIO()
        clouds.resize((width, height), Image.Resampling.BICUBIC).save(stream, "JPEG")
        files.append(stream.getvalue())
    return files


def _write_shard(folder: Path, images: list[bytes], model: ModelConfig) -> Path:
    height, width = model.input_size
    boxes = [
        Box(name, xmin * width, ymin * height, xmax * width, ymax * height)
        for name, xmin, ymin, xmax, ymax, _ in BOXES
    ]
    examples = (
        encode_example(
            image,
            image_id=str(index),
            source_id=index,
            width=width,
            height=height,
            boxes=boxes,
            class_ids=[1, 2],
            origins=["human"] * 2,
            scores=[1.0] * 2,
            weights=[1.0] * 2,
        )
        for index, image in enumerate(images)
    )
    path = folder / "random.tfrecord"
    path.write_bytes(build_shard(examples))
    return path


def _device_name() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    return str(details.get("device_name") or cpu_name())


if __name__ == "__main__":
    main(sys.argv[1:])
