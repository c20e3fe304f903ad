from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.detector.torch_files import torch_file

pytestmark = pytest.mark.slow

# of each stage: expansion, channels, blocks, stride (Sandler et al., MobileNetV2, table 2)
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
MEAN, SCALE = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


def test_mobilenet_v2_computes_what_the_torch_file_says(tmp_path: Path) -> None:
    import tensorflow as tf
    from official.vision.modeling.backbones import mobilenet

    from boxloop.detector.backbones import convert

    tensors = _mobilenet_v2()
    convert(torch_file(tensors), "torch_mobilenet_v2", tmp_path / "backbone-1")
    backbone = mobilenet.MobileNet(model_id="MobileNetV2")
    status = tf.train.Checkpoint(backbone=backbone).read(str(tmp_path / "backbone-1"))
    status.expect_partial().assert_existing_objects_matched()
    image = np.random.default_rng(1).normal(size=(1, 64, 64, 3)).astype(np.float32)
    expected = _forward(image, tensors)
    assert expected.std() > 0.1
    assert backbone(image, training=False)["6"].numpy() == pytest.approx(expected, abs=1e-4)


def test_lite0_computes_what_the_package_holds(tmp_path: Path) -> None:
    import tensorflow as tf
    import tf_keras
    from official.vision.modeling.backbones import efficientnet

    from boxloop.detector.backbones import convert
    from boxloop.detector.torch_file import read_torch_tensors
    from boxloop.experiment import read_experiment
    from boxloop.pretrained import locate

    weights = read_experiment("tests/data/micro.yaml").model.backbone
    assert weights is not None
    data = locate(weights)[0].read_bytes()
    convert(data, "torch_lite0", tmp_path / "backbone-1")
    backbone = efficientnet.EfficientNet(model_id="b0", se_ratio=0.0, activation="relu6")
    status = tf.train.Checkpoint(backbone=backbone).read(str(tmp_path / "backbone-1"))
    status.expect_partial().assert_existing_objects_matched()
    assert len(backbone.variables) == 245  # 49 kernels, 49 x 4 of batch normalisation

    # the first layer by hand: one 3 x 3 patch of grey 100, as Lite0 wants it: (x - 127) / 128
    tensors = read_torch_tensors(data)
    raw = tensors["_conv_stem.weight"].sum(axis=(1, 2, 3)) * (100 - 127) / 128
    parts = ("weight", "bias", "running_mean", "running_var")
    gamma, beta, mean, variance = (tensors[f"_bn0.{part}"] for part in parts)
    expected = (raw - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    norm = next(layer for layer in backbone.layers if "normalization" in layer.name)
    image = np.broadcast_to((100 - MEAN) / SCALE, (1, 32, 32, 3)).astype(np.float32)
    found = tf_keras.Model(backbone.inputs, norm.output)(image).numpy()[0, 8, 8]
    assert found == pytest.approx(expected, abs=1e-4)


def test_converting_draws_no_random_number(tmp_path: Path) -> None:
    import tf_keras

    from boxloop.detector.backbones import convert

    def drawn() -> Any:
        dense = tf_keras.layers.Dense(3)
        dense.build((1, 4))
        return dense.kernel.numpy().tolist()

    tf_keras.utils.set_random_seed(1)
    expected = drawn()
    tf_keras.utils.set_random_seed(1)
    convert(torch_file(_mobilenet_v2()), "torch_mobilenet_v2", tmp_path / "backbone-1")
    assert drawn() == expected


@pytest.mark.parametrize("change", ["one fewer", "other shape", "no variance"])
def test_weights_of_another_network_are_refused(change: str, tmp_path: Path) -> None:
    from boxloop.detector.backbones import convert

    tensors = _mobilenet_v2()
    if change == "one fewer":
        del tensors["18.0.weight"]
    elif change == "other shape":
        tensors["18.0.weight"] = tensors["18.0.weight"][:-1]
    else:
        del tensors["18.1.running_var"]
    with pytest.raises(ValueError, match="holds other weights than torch_mobilenet_v2"):
        convert(torch_file(tensors), "torch_mobilenet_v2", tmp_path / "backbone-1")
    assert not list(tmp_path.iterdir())


def _mobilenet_v2() -> dict[str, np.ndarray]:
    """Return random weights in the order and with the names of torch's MobileNetV2."""
    random = np.random.default_rng(0)
    tensors: dict[str, np.ndarray] = {}
    for name, (outputs, inputs, size) in _convolutions():
        shape = (outputs, inputs, size, size)
        block, _, index = name.rpartition(".")
        norm = f"{block}.{int(index) + 1}"
        tensors[f"{name}.weight"] = random.normal(size=shape) * np.sqrt(2 / (inputs * size**2))
        variance = random.uniform(0.01, 2, outputs)  # so small that epsilon counts
        tensors[f"{norm}.weight"] = random.uniform(0.5, 1, outputs) * np.sqrt(variance)
        tensors[f"{norm}.bias"] = random.normal(size=outputs)
        tensors[f"{norm}.running_mean"] = random.normal(size=outputs)
        tensors[f"{norm}.running_var"] = variance
        tensors[f"{norm}.num_batches_tracked"] = np.array([1.0])
    return {name: array.astype("<f4") for name, array in tensors.items()}


def _convolutions() -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Give the convolutions in order: name; outputs, inputs of each group, and kernel size."""
    yield "0.0", (32, 3, 3)
    inputs, number = 32, 1
    for expansion, outputs, blocks, _ in STAGES:
        for _ in range(blocks):
            wide, part = inputs * expansion, 0
            if expansion > 1:
                yield f"{number}.conv.0", (wide, inputs, 1)
                part = 3
            yield f"{number}.conv.{part}", (wide, 1, 3)
            yield f"{number}.conv.{part + 3}", (outputs, wide, 1)
            inputs, number = outputs, number + 1
    yield "18.0", (1280, inputs, 1)


def _forward(image: np.ndarray, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """Return level 6 as the paper and torch's epsilon have it, with TensorFlow's padding."""
    import tensorflow as tf

    def layer(x: Any, name: str, stride: int = 1) -> Any:
        kernel = tensors[f"{name}.weight"]
        if kernel.shape[1] == 1:
            strides = [1, stride, stride, 1]
            x = tf.nn.depthwise_conv2d(x, kernel.transpose(2, 3, 0, 1), strides, "SAME")
        else:
            x = tf.nn.conv2d(x, kernel.transpose(2, 3, 1, 0), stride, "SAME")
        block, _, index = name.rpartition(".")
        norm = f"{block}.{int(index) + 1}"
        gamma, beta = tensors[f"{norm}.weight"], tensors[f"{norm}.bias"]
        mean, variance = tensors[f"{norm}.running_mean"], tensors[f"{norm}.running_var"]
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    x = tf.nn.relu6(layer(image, "0.0", 2))
    number = 1
    for expansion, _, blocks, first_stride in STAGES:
        for index in range(blocks):
            before, block, part = x, f"{number}.conv", 0
            if expansion > 1:
                x, part = tf.nn.relu6(layer(x, f"{block}.0")), 3
            stride = first_stride if index == 0 else 1
            x = tf.nn.relu6(layer(x, f"{block}.{part}", stride))
            x = layer(x, f"{block}.{part + 3}")
            x, number = (x + before if index else x), number + 1
    expected: np.ndarray = tf.nn.relu6(layer(x, "18.0")).numpy()
    return expected
