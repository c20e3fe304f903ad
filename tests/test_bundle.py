import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests.bundles import DESCRIPTION, make_bundle
from tests.inference.fakes import SPEC
from tests.report.evaluations import evaluation

from boxloop import storage
from boxloop.bundle import FORMAT, METRICS, default_threshold, read_bundle, write_bundle
from boxloop.inference.engine import open_engine
from boxloop.inference.portable import Spec
from boxloop.model_card import build_card, build_readme
from boxloop.origin import complete_bundle

DESCRIBED = DESCRIPTION | {"digest": "1f" * 32}
TFLITE = ("detector.tflite", "detector_float16.tflite", "detector_int8.tflite")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "model")


def change(folder: Path, **changes: Any) -> None:
    """Change bundle.json as somebody would who can count its digest; None takes a field away."""
    bundle = json.loads((folder / "bundle.json").read_text()) | changes
    kept = {k: value for k, value in bundle.items() if value is not None and k != "digest"}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    kept["digest"] = digest
    (folder / "bundle.json").write_text(json.dumps(kept))


def test_a_bundle_says_what_it_is_told_and_lists_its_files(folder: Path) -> None:
    bundle = read_bundle(folder)
    assert {name: bundle[name] for name in DESCRIPTION} == DESCRIPTION
    assert set(bundle["files"]) == {"saved_model.pb", "variables/data", "label_map.pbtxt"}
    assert Spec.read(folder) == SPEC


def test_the_same_files_give_the_same_bytes(folder: Path) -> None:
    before = (folder / "bundle.json").read_bytes()
    write_bundle(folder, dict(reversed(DESCRIPTION.items())))
    assert (folder / "bundle.json").read_bytes() == before


def test_a_bundle_may_be_copied_and_completed(folder: Path, tmp_path: Path) -> None:
    folder.rename(tmp_path / "elsewhere")
    complete_bundle(str(tmp_path / "elsewhere"), evaluation(1))
    assert read_bundle(tmp_path / "elsewhere")["round"] == 2


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "variables" / "data").unlink()
    with pytest.raises(ValueError, match="model/variables/data is missing: copy the whole folder"):
        read_bundle(folder)


def test_an_altered_file_is_named(folder: Path) -> None:
    (folder / "saved_model.pb").write_bytes(b"a grapf")
    with pytest.raises(ValueError, match=r"model/saved_model.pb is not the file that was exported"):
        read_bundle(folder)


def test_a_label_map_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "model", classes=["ace", "king", "queen", "jack"])
    with pytest.raises(ValueError, match=r"2 classes .cat, dog., the model knows 4 classes .ace"):
        read_bundle(folder)


@pytest.mark.parametrize("classes", [["dog", "cat"], ["cat"]], ids=["order", "number"])
def test_a_label_map_must_fit_exactly(tmp_path: Path, classes: list[str]) -> None:
    with pytest.raises(ValueError, match=r"label_map.pbtxt names 2 classes"):
        read_bundle(make_bundle(tmp_path / "model", classes=classes))


@pytest.mark.parametrize("text", ["item { name: 'cat' }", "cat\n", None])
def test_a_label_map_that_cannot_be_read_is_refused(folder: Path, text: str | None) -> None:
    path = folder / "label_map.pbtxt"
    path.unlink()
    if text is not None:
        path.write_text(text)
    files = json.loads((folder / "bundle.json").read_text())["files"]
    if text is not None:
        change(folder, files=files | {"label_map.pbtxt": storage.digest(str(path))})
    with pytest.raises(ValueError, match=r"label_map.pbtxt (cannot be read|is missing).*folder"):
        read_bundle(folder)


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_a_description_is_no_bundle(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "model"
    if there:
        folder.mkdir()
    with pytest.raises(ValueError, match=r"model has no bundle.json: it is no bundle of Boxloop's"):
        read_bundle(folder)


def test_a_file_is_no_bundle(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"saved_model.pb has no bundle.json"):
        read_bundle(folder / "saved_model.pb")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"files": {"saved_model', id="cut short"),
        pytest.param(b"\xff\xfe\x00", id="no text"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"files"', id="a word"),
        pytest.param(b'{"format": 1, "files": {}, "classes": ["cat"]}', id="no input"),
        pytest.param(b'{"format": 1, "files": 3, "classes": ["cat"]}', id="files are a number"),
    ],
)
def test_a_damaged_description_is_refused(folder: Path, content: bytes) -> None:
    (folder / "bundle.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"bundle.json is damaged \(.*\): copy the folder anew"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"classes": None}, id="no classes"),
        pytest.param({"files": {"saved_model.pb": 3}}, id="a digest that is a number"),
        pytest.param({"files": ["saved_model.pb"]}, id="files without digests"),
        pytest.param({"detection": []}, id="no rules"),
        pytest.param({"input": {"height": 48}}, id="half an input"),
    ],
)
def test_a_description_that_lacks_something_is_refused(
    folder: Path, changes: dict[str, Any]
) -> None:
    change(folder, **changes)
    with pytest.raises(ValueError, match=r"model/\S+ is "):
        read_bundle(folder)


@pytest.mark.parametrize("number", [2, "1", None])
def test_another_format_is_refused(folder: Path, number: Any) -> None:
    change(folder, format=number)
    with pytest.raises(ValueError, match=rf"bundle.json has format {number}, {FORMAT} is needed"):
        read_bundle(folder)


def test_a_later_format_may_say_other_things(folder: Path) -> None:
    (folder / "bundle.json").write_text('{"format": 2, "model": {"files": []}}')
    with pytest.raises(ValueError, match="has format 2, 1 is needed"):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "variables/../../secret", "C:/x"])
def test_no_file_outside_the_folder_is_looked_at(folder: Path, name: str) -> None:
    (folder.parent / "secret").write_bytes(b"secret")
    files = json.loads((folder / "bundle.json").read_text())["files"]
    change(folder, files={name: storage.digest(str(folder.parent / "secret"))} | files)
    with pytest.raises(ValueError, match="leads out of"):
        read_bundle(folder)


def test_tflite_is_refused_where_the_model_has_none(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"has no detector.tflite: .* use tensorflow"):
        open_engine(folder, SPEC, "tflite", has_tflite=False, batch_size=1)


def test_the_threshold_is_the_one_of_the_evaluation(folder: Path) -> None:
    assert default_threshold(folder) is None
    complete_bundle(str(folder), evaluation(1))
    assert default_threshold(folder) == 0.5
    metrics = json.loads((folder / METRICS).read_text())
    assert metrics.pop("bundle_digest") == read_bundle(folder)["digest"]
    assert metrics == evaluation(1)


def test_figures_of_another_bundle_are_not_its_own(folder: Path) -> None:
    complete_bundle(str(folder), evaluation(1))
    write_bundle(folder, DESCRIPTION | {"round": 3})
    assert default_threshold(folder) is None


@pytest.mark.parametrize("content", [b"", b"{}", b'{"operating": null, "bundle_digest": 1}'])
def test_damaged_figures_are_refused(folder: Path, content: bytes) -> None:
    (folder / METRICS).write_bytes(content)
    with pytest.raises(ValueError, match=r"metrics.json is damaged \("):
        default_threshold(folder)


def test_a_changed_description_is_refused(folder: Path) -> None:
    path = folder / "bundle.json"
    path.write_text(
        path.read_text().replace('"keep_aspect_ratio": true', '"keep_aspect_ratio": false')
    )
    with pytest.raises(ValueError, match=r"bundle.json is damaged \(it is not as it was written"):
        read_bundle(folder)


def test_a_model_that_is_not_listed_is_not_used(folder: Path) -> None:
    change(folder, files={"label_map.pbtxt": storage.digest(str(folder / "label_map.pbtxt"))})
    with pytest.raises(ValueError, match=r"does not list saved_model.pb"):
        read_bundle(folder)


@pytest.mark.parametrize("has_tflite", [True, False])
def test_the_readme_names_the_files_that_are_there(has_tflite: bool) -> None:
    files = ["saved_model.pb", *(TFLITE if has_tflite else ())]
    text = build_readme({**DESCRIPTION, "files": files})
    assert "It finds: cat, dog." in text
    assert "shape (B, 48, 64, 3)" in text
    assert ("python detect.py photo.jpg" in text) is has_tflite
    assert all((name in text) is has_tflite for name in TFLITE[1:])
    assert ("3 of 40 detections on test images moved" in text) is has_tflite
    assert ("as its Exif data ask for" in text) is has_tflite


@pytest.mark.parametrize("weights", [DESCRIPTION["weights"], None])
def test_the_card_has_the_figures_and_the_origin(weights: dict[str, Any] | None) -> None:
    card = build_card(
        {**DESCRIPTION, "digest": "1f" * 32, "weights": weights}, evaluation(2, "cat")
    )
    assert "# Model card: retinanet_lite0_64, round 2 of cards" in card
    assert "**mAP@0.5 0.500** (95 % interval 0.450 to 0.550) on 2 test images" in card
    assert "| cat | 0.500 | 0.300 to 0.700 | 1.000 | 0.500 |" in card
    assert "| tock | not known |  | not known | not known |" in card
    assert ("Apache-2.0" in card) is (weights is not None)
    assert ("Began with random weights." in card) is (weights is None)
    assert "`detector_int8.tflite`: of 40 detections, 3 differ" in card


def test_names_of_classes_stay_within_their_place_in_markdown() -> None:
    name = "a|b\n# c `d` <e> \\ [f]"
    shown = r"a\|b # c \`d\` \<e> \\ \[f]"
    described = {**DESCRIBED, "classes": [name, "dog"], "files": ["saved_model.pb"]}
    card = build_card(described, evaluation(2, name))
    assert f"\n| {shown} | 0.500 |" in card
    assert f"Finding {shown}, dog in images" in card
    assert f"It finds: {shown}, dog." in build_readme(described)


def test_the_card_says_where_the_threshold_is_from() -> None:
    figures = evaluation(1)
    assert "chosen on the validation images" in build_card(DESCRIBED, figures)
    figures["operating"]["threshold_from"] = "default"
    assert "That score is the default" in build_card(DESCRIBED, figures)


def test_the_card_counts_the_test_images_that_could_not_be_read() -> None:
    figures = evaluation(1) | {"unreadable": {"a.jpg": "it is a folder"}}
    assert "1 more could not be read" in build_card(DESCRIBED, figures)
    assert "could not be read" not in build_card(DESCRIBED, evaluation(1))


def test_a_class_in_few_images_has_no_interval_in_the_card() -> None:
    figures = evaluation(2, "cat") | {"ap50_intervals": {"cat": None, "tock": None}}
    card = build_card(DESCRIBED, figures)
    assert "| cat | 0.500 | too few images | 1.000 | 0.500 |" in card
    assert "fewer than 5 test images show has no interval" in card


def test_a_card_of_nothing_found_says_so() -> None:
    figures = evaluation(1) | {"map50": None, "map50_interval": None}
    figures["operating"] |= {"precision": None}
    assert "mAP@0.5 not known** on 2" in build_card(DESCRIBED, figures)
