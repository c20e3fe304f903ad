"""The training images on their way to the model: Model Garden's pipeline with three additions.

Rare classes are read more often, examples are changed at random between decoder and parser, and
class ids tell what a box teaches and how much (see targets.py). Model Garden's tasks make their
reader by calling `input_reader_factory.input_reader_generator`: that is where the additions go in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from official.core import input_reader
from official.vision.dataloaders import input_reader_factory

from boxloop.detector import augment, targets
from boxloop.train_settings import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the pipeline must know beyond Model Garden's own settings."""

    config: TrainConfig
    class_counts: Sequence[int]
    """Training images that show each class, in the order of class ids, from 1."""
    seed: int
    skip: int = 0
    """Batches that an earlier attempt has trained on."""

    @property
    def k(self) -> int:
        """Number of classes, the background included."""
        return len(self.class_counts) + 1


def build_inputs(
    build: Callable[..., Any],
    inputs: Inputs,
    params: Any,
    input_context: Any = None,
    *,
    is_rcnn: bool,
) -> Any:
    """Return the batches that a Model Garden task trains or validates on.

    Deterministic: one thread reads and changes the images, so that random numbers meet images in
    a fixed order, and a resumed training goes on with the batch after the last one. TensorFlow's
    own switch, enable_op_determinism, cannot rewrite Model Garden's parser: "input[0] ==
    '^args_3', is not found" (TensorFlow 2.20).

    Args:
        build: the task's own `build_inputs`.
        inputs: what to add.
        params: Model Garden's DataConfig.
        input_context: which part of the batches this process is to read.
        is_rcnn: whether the task is an R-CNN, else a RetinaNet.
    """
    if not params.is_training:
        return build(params, input_context)
    parse_map = partial(targets.rcnn_labels, k=inputs.k) if is_rcnn else _unchanged
    with reader(partial(_build_reader, inputs, parse_map)):
        dataset = build(params, input_context)
    if not is_rcnn:
        dataset = dataset.map(partial(targets.retinanet_labels, k=inputs.k))
    if not inputs.config.deterministic:
        return dataset
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.autotune.enabled = False
    return dataset.skip(inputs.skip * _batches_a_step(input_context)).with_options(options)


def _batches_a_step(input_context: Any) -> int:
    """Return how many batches of one pipeline a step takes: one for each replica that it feeds."""
    if input_context is None:
        return 1
    return int(input_context.num_replicas_in_sync // input_context.num_input_pipelines)


def _unchanged(images: Any, labels: Any) -> Any:
    return images, labels


def repeat_factors(class_counts: Sequence[int]) -> np.ndarray[Any, Any]:
    """Return how often an image with a class is to be read, at least once: shape (classes,).

    sqrt(median / count), so that classes below the median are shown more often.

    Source: Gupta, Dollar and Girshick, "LVIS", CVPR 2019, with the median for their threshold.
    """
    counts = np.maximum(np.asarray(class_counts, np.float64), 1)
    median = np.median(counts[np.asarray(class_counts) > 0])
    factors: np.ndarray[Any, Any] = np.maximum(1.0, np.sqrt(median / counts))
    return factors


@contextmanager
def reader(make: Callable[..., Any]) -> Iterator[None]:
    """Let Model Garden's tasks make their input reader this way, for the time being."""
    original = input_reader_factory.input_reader_generator
    input_reader_factory.input_reader_generator = make
    try:
        yield
    finally:
        input_reader_factory.input_reader_generator = original


def _build_reader(
    inputs: Inputs,
    parse_map: Callable[..., Any],
    params: Any,
    *,
    decoder_fn: Any,
    parser_fn: Any,
    dataset_fn: Any,
    **others: Any,
) -> input_reader.InputReader:
    config = inputs.config
    return input_reader.InputReader(
        params,
        dataset_fn=partial(_read_balanced, inputs) if config.balance_classes else dataset_fn,
        decoder_fn=partial(decode_with_codes, decoder_fn, inputs.k, config),
        sample_fn=partial(
            augment.augment_examples,
            config=config.augment,
            class_counts=inputs.class_counts,
            seed=inputs.seed,
        ),
        parser_fn=partial(_parse, parser_fn, parse_map),
        **others,
    )


def decode_with_codes(
    decode: Callable[[Any], Any], k: int, config: TrainConfig, record: Any
) -> dict[str, Any]:
    """Decode a serialised example; its class ids tell what boxes teach, as in targets.py.

    Args:
        decode: Model Garden's decoder.
        k: number of classes, the background included.
        config: what is to be told apart.
        record: tf.train.Example, serialised.
    """
    feature = {
        "image/object/origin": tf.io.VarLenFeature(tf.string),
        "image/object/weight": tf.io.VarLenFeature(tf.float32),
    }
    found = tf.io.parse_single_example(record, feature)
    origins, weights = (found[name].values for name in feature)
    return targets.encode_boxes(decode(record), origins, weights, k, config)


def _parse(
    parse: Callable[[Any], Any], parse_map: Callable[..., Any], example: dict[str, Any]
) -> Any:
    images, labels = parse_map(*parse(example))
    return images, {**labels, "source_ids": tf.strings.to_number(example["source_id"], tf.int64)}


def _read_balanced(inputs: Inputs, files: Any) -> Any:
    factors = tf.constant(repeat_factors(inputs.class_counts), tf.float32)

    def repeated(record: Any) -> Any:
        one = tf.data.Dataset.from_tensors(record)
        return one.repeat(_count(record, factors))

    return tf.data.TFRecordDataset(files).flat_map(repeated)


def _count(record: Any, factors: Any) -> Any:
    """Return how often to read a record; the fraction is drawn from its content, not at random."""
    feature = {"image/object/class/label": tf.io.VarLenFeature(tf.int64)}
    ids = tf.io.parse_single_example(record, feature)["image/object/class/label"].values
    known = tf.boolean_mask(ids, ids <= tf.size(factors, tf.int64))  # the doubtful have no class
    factor = tf.reduce_max(tf.concat([tf.gather(factors, known - 1), [1.0]], axis=0))
    draw = tf.cast(tf.strings.to_hash_bucket_fast(record, 1000), tf.float32) / 1000
    return tf.cast(tf.floor(factor + draw), tf.int64)
