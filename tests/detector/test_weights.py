import contextlib
import io
import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytestmark = pytest.mark.slow


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("1 + 1",))


def test_a_file_that_asks_for_code_is_refused() -> None:
    from boxloop.detector.weights import read_torch_tensors

    header = b"".join(pickle.dumps(value, protocol=2) for value in (1, 2, 3))
    with pytest.raises(pickle.UnpicklingError, match="eval has no place in a file of tensors"):
        read_torch_tensors(header + pickle.dumps(_Evil(), protocol=2))


def test_the_converted_backbone_computes_what_the_package_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf
    import tf_keras
    from official.vision.modeling.backbones import efficientnet

    from boxloop.detector import weights

    monkeypatch.setenv("BOXLOOP_CACHE", str(tmp_path))
    checkpoint = weights.backbone_checkpoint(weights.LITE0)
    backbone = efficientnet.EfficientNet(model_id="b0", se_ratio=0.0, activation="relu6")
    status = tf.train.Checkpoint(backbone=backbone).read(checkpoint)
    status.expect_partial().assert_existing_objects_matched()
    assert len(backbone.variables) == 245  # 49 kernels, 49 x 4 of batch normalisation

    data = weights._read_package_file(
        weights._LITE0_MODULE, weights._LITE0_FILE, weights._LITE0_SHA256
    )
    tensors = weights.read_torch_tensors(data)
    # the first layer by hand: one 3 x 3 patch of grey 100, as Lite0 wants it: (x - 127) / 128
    kernel, stem = tensors["_conv_stem.weight"], "_bn0"
    raw = kernel.sum(axis=(1, 2, 3)) * (100 - 127) / 128
    gamma, beta, mean, variance = (
        tensors[f"{stem}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    expected = (raw - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    norm = next(layer for layer in backbone.layers if "normalization" in layer.name)
    stem_model = tf_keras.Model(backbone.inputs, norm.output)
    normalised = (100 - np.array([123.675, 116.28, 103.53])) / np.array([58.395, 57.12, 57.375])
    image = np.broadcast_to(normalised, (1, 32, 32, 3)).astype(np.float32)
    found = stem_model(image).numpy()[0, 8, 8]
    assert found == pytest.approx(expected, abs=1e-4)


def test_another_file_than_the_expected_one_is_refused() -> None:
    from boxloop.detector import weights

    with pytest.raises(ValueError, match=r"has sha256 .*, expected 0000"):
        weights._read_package_file(weights._LITE0_MODULE, weights._LITE0_FILE, "0000")
    with pytest.raises(ValueError, match="there is 'efficientnet-lite0', got 'vgg'"):
        weights.backbone_checkpoint("vgg")


def test_tensors_come_out_in_shape_and_order() -> None:
    from boxloop.detector.weights import read_torch_tensors

    data = _torch_file({"a": np.arange(6, dtype="<f4").reshape(2, 3), "b": np.array([7], "<f4")})
    tensors = read_torch_tensors(data)
    assert list(tensors) == ["a", "b"]
    assert tensors["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors["b"].tolist() == [7]


def _rebuild(*args: object) -> None:
    """Stands in a pickle for torch._utils._rebuild_tensor_v2; nobody may call it."""
    raise AssertionError(args)


class _FloatStorage:
    """Stands in a pickle for torch.FloatStorage."""


@dataclass
class _Key:
    """What torch pickles by reference: a storage, written after the pickle."""

    name: str
    count: int


@dataclass
class _Tensor:
    name: str
    array: np.ndarray

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        strides = tuple(step // 4 for step in self.array.strides)
        key = _Key(self.name, self.array.size)
        return _rebuild, (key, 0, self.array.shape, strides, False, OrderedDict())


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        if not isinstance(obj, _Key):
            return None
        return ("storage", _FloatStorage, obj.name, "cpu", obj.count, None)


@contextlib.contextmanager
def _torch_by_name() -> Iterator[None]:
    """Let pickle find the two stand-ins under torch's names."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    for module, name, stand_in in (
        (torch, "FloatStorage", _FloatStorage),
        (utils, "_rebuild_tensor_v2", _rebuild),
    ):
        setattr(module, name, stand_in)
        stand_in.__module__, stand_in.__qualname__ = module.__name__, name
        stand_in.__name__ = name
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "torch._utils", utils)
        yield


def _torch_file(tensors: dict[str, np.ndarray]) -> bytes:
    """Write tensors as old torch did: three headers, the pickle, the keys, the storages."""
    stream = io.BytesIO()
    for header in (1, 2, 3):
        pickle.dump(header, stream, protocol=2)
    with _torch_by_name():
        named = OrderedDict((name, _Tensor(name, array)) for name, array in tensors.items())
        _Pickler(stream, protocol=2).dump(named)
    pickle.dump(list(tensors), stream, protocol=2)
    for array in tensors.values():
        stream.write(np.int64(array.size).tobytes() + array.astype("<f4").tobytes())
    return stream.getvalue()
