import json
import logging
from pathlib import Path

import pytest

from boxloop.child import INPUT_ERROR
from boxloop.cli import main
from boxloop.experiment import read_experiment, read_model
from boxloop.measurement import Measurement, cpu_name, read_measurement, write_measurement
from boxloop.zoo import STUDY, find_model, model_names

FAMILIES = {
    "retinanet": "RetinaNet",
    "faster_rcnn": "Faster R-CNN",
    "cascade_rcnn": "Cascade R-CNN",
}
MEASURED = Measurement(
    parameters=2_500_000,
    batch_size=8,
    train_images_per_second=20.0,
    first_step_seconds=12.5,
    predict_images_per_second=70.25,
    device="a CPU",
    cores=2,
    tensorflow="2.20.0",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def listing(capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["zoo"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", model_names())
def test_entry_is_complete(name: str) -> None:
    model = read_model(name)
    assert [task for start, task in FAMILIES.items() if name.startswith(start)] == [model.task]
    max_level = model.overrides["task"]["model"].get("max_level", 7)
    assert all(side % 2**max_level == 0 for side in model.input_size)
    assert (model.coco_map is None) == (model.coco_source is None)
    for weights in filter(None, (model.backbone, model.detector)):
        assert weights.licence in ("Apache-2.0", "MIT")
        assert weights.trained_on.startswith(("ImageNet-1k", "COCO 2017"))
    assert model.detector is None or model.detector.num_classes == 91


def test_every_name_of_the_study_stands_for_an_entry() -> None:
    assert set(STUDY.values()) <= set(model_names())


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        pytest.param("retinanet_lite0", "retinanet_lite0", id="entry"),
        pytest.param("ssdlite_mobilenet_v2_coco", "retinanet_mobilenetv2", id="of the study"),
        pytest.param("rfcn_resnet101_coco_2018_01_28", "faster_rcnn_resnet101", id="with a date"),
    ],
)
def test_model_is_found_by_name(name: str, nearest: str) -> None:
    assert find_model(name) == nearest


def test_name_of_the_study_trains_the_nearest_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        experiment = read_experiment(
            "configs/experiments/demo.yaml", {"model": "faster_rcnn_resnet50_lowproposals_coco"}
        )
    assert experiment.model.name == "faster_rcnn_resnet50"
    assert "using faster_rcnn_resnet50, the nearest here" in caplog.text


def test_entry_by_its_own_name_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        read_model("retinanet_lite0")
    assert not caplog.text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param(
            "mask_rcnn_resnet101_atrous_coco",
            "boxes only; the nearest is faster_rcnn_resnet101$",
            id="masks",
        ),
        pytest.param(
            "mask_rcnn_inception_v2_coco_2018_01_28",
            "boxes only; the nearest is faster_rcnn_lite0$",
            id="masks, with a date",
        ),
        pytest.param(
            "mask_rcnn_inception_resnet_v2_atrous_coco",
            "the nearest is cascade_rcnn_spinenet49$",
            id="masks, large",
        ),
        pytest.param("retinanet_lit0", "did you mean retinanet_lite0 or ", id="typing error"),
        pytest.param("ssd_mobilenet_coco", "did you mean ssd_mobilenet_v[12]_coco", id="of study"),
        pytest.param("yolo", "it has cascade_rcnn_spinenet49, faster_rcnn_lite0, ", id="unknown"),
    ],
)
def test_model_that_is_not_here_is_refused_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_model(name)


def test_training_time_is_that_of_the_study_s_batch() -> None:
    assert MEASURED.training_seconds == 800  # 1,000 steps of 16 images, at 20 images/s
    assert MEASURED.megabytes == 10  # 4 bytes a parameter


def test_measurement_is_kept_for_the_machine(cache: Path) -> None:
    assert read_measurement("retinanet_lite0") is None
    write_measurement("retinanet_lite0", MEASURED)
    assert read_measurement("retinanet_lite0") == MEASURED
    assert (cache / "boxloop" / "zoo" / "retinanet_lite0.json").is_file()


def test_measurement_of_another_version_is_none(cache: Path) -> None:
    (cache / "boxloop" / "zoo").mkdir(parents=True)
    (cache / "boxloop" / "zoo" / "retinanet_lite0.json").write_text('{"speed": 3}')
    assert read_measurement("retinanet_lite0") is None


def test_processor_has_a_name() -> None:
    assert cpu_name().strip()


def test_list_has_all_models_on_a_line_each_and_figures_where_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_measurement("retinanet_resnet50", MEASURED)
    rows = [" ".join(line.split()) for line in listing(capsys).splitlines()]
    assert [row.partition(" ")[0] for row in rows[1 : len(model_names()) + 1]] == model_names()
    assert "retinanet_resnet50 RetinaNet COCO* 640 36.8 10 70.2 13.3" in rows
    assert "faster_rcnn_lite0 Faster R-CNN ImageNet 256 - - - -" in rows


def test_list_says_what_stands_in_for_the_study_s_models(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert all(name in listing(capsys) for name in STUDY)


def test_list_fits_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "50")
    models, _, _ = listing(capsys).partition("\n\n")
    assert "retinanet_resnet50\n  task RetinaNet, weights COCO*, px 640, COCO \n36.8," in models
    assert max(map(len, models.splitlines())) <= 50


def test_list_for_programs_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    write_measurement("retinanet_lite0", MEASURED)
    assert main(["zoo", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    models = {model["name"]: model for model in listed["models"]}
    assert models["retinanet_lite0"]["measured"]["predict_images_per_second"] == 70.25
    assert models["retinanet_resnet50"]["measured"] is None
    assert models["retinanet_resnet50"]["coco_source"].startswith("Model Garden: RetinaNet R50")
    assert listed["names_of_the_study"]["faster_rcnn_nas"] == "cascade_rcnn_spinenet49"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["retinanet"], "not in the zoo", id="unknown model"),
        pytest.param(["retinanet_lite0", "--steps", "0"], "--steps must be at least 1", id="steps"),
        pytest.param(
            ["retinanet_lite0", "--batch-size", "-1"], "--batch-size must be at", id="batch"
        ),
    ],
)
def test_wrong_measurement_is_refused_before_it_starts(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["zoo", "measure", *arguments]) == INPUT_ERROR
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_model_is_measured_in_a_child_process(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["retinanet_lite0_128", "--batch-size", "2", "--steps", "1"]
    assert main(["zoo", "measure", *arguments]) == 0
    measured = read_measurement("retinanet_lite0_128")
    assert measured is not None
    assert 3_400_000 < measured.parameters < 3_600_000
    assert measured.batch_size == 2
    assert measured.train_images_per_second > 0
    assert measured.predict_images_per_second > 0
    assert "retinanet_lite0_128" in capsys.readouterr().out
