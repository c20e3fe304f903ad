import io
import pickle
from pathlib import Path

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


def _torch_file(tensors: dict[str, np.ndarray]) -> bytes:
    """Write tensors as old torch did: three headers, the pickle, the keys, the storages."""
    import sys
    import types
    from collections import OrderedDict

    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def rebuild(*args: object) -> None:
        raise AssertionError(args)

    class FloatStorage:
        pass

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    rebuild.__name__ = "_rebuild_tensor_v2"
    FloatStorage.__module__, FloatStorage.__qualname__ = "torch", "FloatStorage"
    torch.FloatStorage, utils._rebuild_tensor_v2 = FloatStorage, rebuild  # type: ignore[attr-defined]

    class Key:
        def __init__(self, key: str, count: int) -> None:
            self.pid = ("storage", FloatStorage, key, "cpu", count, None)

    class Tensor:
        def __init__(self, key: str, array: np.ndarray) -> None:
            self.arguments: tuple[object, ...] = (
                Key(key, array.size),
                0,
                array.shape,
                tuple(step // 4 for step in array.strides),
                False,
                OrderedDict(),
            )

        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return rebuild, self.arguments

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: object) -> object:
            return obj.pid if isinstance(obj, Key) else None

    stream = io.BytesIO()
    for header in (1, 2, 3):
        pickle.dump(header, stream, protocol=2)
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        named = OrderedDict((name, Tensor(name, array)) for name, array in tensors.items())
        Pickler(stream, protocol=2).dump(named)
    finally:
        del sys.modules["torch"], sys.modules["torch._utils"]
    pickle.dump(list(tensors), stream, protocol=2)
    for array in tensors.values():
        stream.write(np.int64(array.size).tobytes() + array.astype("<f4").tobytes())
    return stream.getvalue()
