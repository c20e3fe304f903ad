"""A detector's arithmetic as TFLite files, for CPUs, phones and small devices."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from boxloop.inference.portable import MODEL, Array

FLOAT16, INT8 = "detector_float16.tflite", "detector_int8.tflite"

UNKNOWN = {"CombinedNonMaxSuppression"}
"""Operations of Model Garden's detectors that TFLite lacks: R-CNNs choose their regions by it."""
FLOAT_OPS = ["ADD", "CONCATENATION", "DIV", "EXP", "LOGISTIC", "MAXIMUM", "MINIMUM", "MUL", "SUB"]
"""TFLite's names of operations that stay in float32 in the int8 file."""

log = logging.getLogger(__name__)


def convert(candidates: Any, folder: Path, samples: Sequence[Array]) -> list[str]:
    """Write a float32, a float16 and an int8 TFLite file of a detector, where its graph allows.

    All take and give float32. float16 halves the file: its weights are rounded, the arithmetic is
    as before on most CPUs. int8 rounds weights and activations to 8 bits.

    Args:
        candidates: `Serving.candidates`.
        folder: to write to.
        samples: frames, shape (H, W, 3) each, from which int8 learns the ranges of activations;
            none: no int8 file.

    Returns:
        The names of the files written; none for graphs with operations that TFLite lacks, such
        as the suppression inside R-CNNs.
    """
    function = candidates.get_concrete_function()
    if unknown := UNKNOWN & _operations(function):
        log.info("No TFLite file: this model has %s inside, TFLite has not", ", ".join(unknown))
        return []
    written = []
    for name in (MODEL, FLOAT16, *([INT8] if samples else [])):
        try:
            data = _convert(function, name, samples)
        except (MemoryError, OSError):  # of this machine, not of the model: tried again
            raise
        except Exception as error:  # the converter's own type, and whatever its passes raise
            log.warning("No %s: TFLite cannot run this model: %s", name, _first_line(error))
            continue
        finally:
            gc.collect()  # a converter, which holds the weights several times, is a cycle
        (folder / name).write_bytes(data)
        written.append(name)
    return written


def _operations(function: Any) -> set[str]:
    graph = function.graph.as_graph_def()
    called = [node for function in graph.library.function for node in function.node_def]
    return {node.op for node in [*graph.node, *called]}


def _convert(function: Any, name: str, samples: Sequence[Array]) -> bytes:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    # the converter's default way, by a SavedModel, takes ten times as long
    converter.experimental_lower_to_saved_model = False
    if name != MODEL:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if name == FLOAT16:
        converter.target_spec.supported_types = [tf.float16]
    if name == INT8:
        return _quantise(converter, samples)
    data: bytes = converter.convert()
    return data


def _quantise(converter: Any, samples: Sequence[Array]) -> bytes:
    """Round to 8 bits all but the arithmetic of boxes, which 8 bits cannot place to a pixel."""
    converter.representative_dataset = lambda: ([sample[np.newaxis]] for sample in samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tf.lite.Interpreter, which TensorFlow itself calls
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter,
            debug_dataset=lambda: ([sample[np.newaxis]] for sample in samples[:1]),
            debug_options=tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=FLOAT_OPS),
        )
        data: bytes = debugger.get_nondebug_quantized_model()
    return data


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
