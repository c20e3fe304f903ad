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
from boxloop.origin import complete_bundle

DESCRIBED = DESCRIPTION | {"digest": "1f" * 32}


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


def test_a_bundle_of_another_digest_is_not_used_though_it_is_whole(tmp_path: Path) -> None:
    bundle = read_bundle(make_bundle(tmp_path / "ours"))
    read_bundle(tmp_path / "ours", bundle["digest"])
    make_bundle(tmp_path / "theirs", seed=2)
    with pytest.raises(ValueError, match=f"not {bundle['digest']}: .* name another model"):
        read_bundle(tmp_path / "theirs", bundle["digest"])


def test_a_copy_is_called_by_what_it_is_a_copy_of(bucket: str, folder: Path) -> None:
    removed = {"removed": {"bundles": {"at": "2026-11-22T18:00:00"}}}
    storage.write_json(f"{bucket}/round_01/gc.json", removed)
    where = f"{bucket}/round_01/model"
    (folder / "variables/data").unlink()
    with pytest.raises(ValueError, match=f"^{where}/variables/data is missing"):
        read_bundle(folder, where=where)
    (folder / "bundle.json").unlink()
    with pytest.raises(ValueError, match=f"^{where} was removed by gc on 2026-11-22"):
        read_bundle(folder, where=where)
