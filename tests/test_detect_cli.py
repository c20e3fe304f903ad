import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.bundles import detect_with, make_bundle
from tests.data.pictures import ROTATED, encoded, exif
from tests.inference.fakes import RedFinder, image, write_image
from tests.report.evaluations import evaluation

from boxloop import storage
from boxloop.child import INPUT_ERROR
from boxloop.cli import main
from boxloop.detect_cli import SIDE
from boxloop.origin import complete_bundle

DOG = {"class": "dog", "score": 0.9, "xmin": 16.0, "ymin": 16.0, "xmax": 48.0, "ymax": 32.0}
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with a model and nothing else."""
    monkeypatch.chdir(tmp_path)
    make_bundle(Path("model"))
    detect_with(RedFinder(), monkeypatch)


def detect(*arguments: str) -> int:
    return main(["detect", "model", *arguments])


def lines(capsys: Captured) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def files(folder: str) -> list[str]:
    paths = sorted(Path(folder).rglob("*"))
    return [path.relative_to(folder).as_posix() for path in paths if path.is_file()]


def pixels(path: str) -> Any:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB")).astype(int)


def test_a_file_gives_a_line(capsys: Captured) -> None:
    write_image(Path("a.png"))
    assert detect("a.png") == 0
    assert lines(capsys) == [{"image": "a.png", "detections": [DOG]}]


def test_an_image_without_anything_has_no_detections(capsys: Captured) -> None:
    write_image(Path("a.png"), None)
    assert detect("a.png") == 0
    assert lines(capsys) == [{"image": "a.png", "detections": []}]


@pytest.mark.parametrize("place", ["photos", "photos/"])
def test_a_folder_gives_all_its_images_and_those_below(place: str, capsys: Captured) -> None:
    for name in ("b.png", "deep/er/a.PNG", ".hidden.png", "c.png"):
        write_image(Path("photos") / name)
    (Path("photos") / "notes.txt").write_text("bananas, milk")
    assert detect(place) == 0
    found = [line["image"] for line in lines(capsys)]
    assert found == ["photos/b.png", "photos/c.png", "photos/deep/er/a.PNG"]


@pytest.mark.parametrize(("glob", "count"), [("p/*.png", 2), ("p/**/*.png", 3), ("p/[b]*", 1)])
def test_a_glob_gives_the_files_that_fit(glob: str, count: int, capsys: Captured) -> None:
    for name in ("a.png", "b.png", "deep.png/c.png"):
        write_image(Path("p") / name)
    assert detect(glob) == 0
    assert len(lines(capsys)) == count


def test_a_name_with_the_signs_of_a_glob_is_a_file(capsys: Captured) -> None:
    write_image(Path("[a]*.png"))
    write_image(Path("a.png"))
    assert detect("[a]*.png") == 0
    assert [line["image"] for line in lines(capsys)] == ["[a]*.png"]


def test_images_come_as_they_are_given(capsys: Captured) -> None:
    for name in ("b/2.png", "b/1.png", "a.png"):
        write_image(Path(name))
    assert detect("b", "a.png", "b/2.png") == 0
    found = [line["image"] for line in lines(capsys)]
    assert found == ["b/1.png", "b/2.png", "a.png", "b/2.png"]


def test_what_cannot_be_read_has_its_reason_and_the_rest_is_done(capsys: Captured) -> None:
    for name in ("p/a.png", "p/c.png"):
        write_image(Path(name))
    Path("p/b.png").write_bytes(b"bananas, milk")
    assert detect("p", "--output", "drawn") == 1
    found = {line.pop("image"): line for line in lines(capsys)}
    assert list(found["p/b.png"]) == ["error"]
    assert "not an image" in found["p/b.png"]["error"]
    assert found["p/a.png"]["detections"] == found["p/c.png"]["detections"] == [DOG]
    assert files("drawn") == ["a.jpg", "c.jpg"]


@pytest.mark.parametrize("place", ["none.png", "empty", "none/*.png", "model/nothing*"])
def test_no_image_is_an_error(place: str, capsys: Captured) -> None:
    Path("empty").mkdir()
    assert detect(place) == INPUT_ERROR
    printed = capsys.readouterr()
    assert f"{place}: no such image, nor a folder with any" in printed.err
    assert not printed.out


def test_no_model_is_an_error(capsys: Captured) -> None:
    write_image(Path("a.png"))
    assert main(["detect", "modell", "a.png"]) == INPUT_ERROR
    assert "modell has no bundle.json" in capsys.readouterr().err


@pytest.mark.parametrize("score", ["-0.1", "1.1", "nan"])
def test_a_score_that_is_none_is_refused(score: str, capsys: Captured) -> None:
    write_image(Path("a.png"))
    assert detect("a.png", f"--min-score={score}") == INPUT_ERROR
    assert f"--min-score must be in [0, 1], got {score}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("threshold", "asked", "count"),
    [(None, [], 1), (0.95, [], 0), (0.5, [], 1), (0.95, ["--min-score", "0"], 1)],
)
def test_the_least_score_is_asked_for_or_known_from_the_evaluation(
    threshold: float | None, asked: list[str], count: int, capsys: Captured
) -> None:
    write_image(Path("a.png"))
    if threshold is not None:
        figures = evaluation(1)
        figures["operating"]["threshold"] = threshold
        complete_bundle("model", figures)
    assert detect("a.png", *asked) == 0
    assert len(lines(capsys)[0]["detections"]) == count


def test_a_drawing_shows_the_box_around_what_was_found(capsys: Captured) -> None:
    write_image(Path("a.png"))
    assert detect("a.png", "--output", "drawn") == 0
    assert lines(capsys)[0]["picture"] == "drawn/a.jpg"
    drawn = pixels("drawn/a.jpg")
    assert drawn.shape == (SIDE * 48 // 64, SIDE, 3)
    scale = SIDE // 64
    inside, edge = drawn[24 * scale, 40 * scale], drawn[30 * scale, 16 * scale + 2]
    assert inside == pytest.approx([254, 0, 0], abs=8)
    assert edge[2] > 60  # something of the class's violet


def test_an_image_is_turned_as_viewers_do_and_drawn_so(capsys: Captured) -> None:
    Path("a.jpg").write_bytes(encoded(image((0, 0, 64, 8)), "JPEG", quality=95, exif=exif(ROTATED)))
    assert detect("a.jpg", "--output", "drawn") == 0
    (record,) = lines(capsys)[0]["detections"]
    edges = [record[edge] for edge in ("xmin", "ymin", "xmax", "ymax")]
    assert edges == pytest.approx([40, 0, 48, 64], abs=2)
    assert pixels("drawn/a.jpg").shape == (SIDE, SIDE * 48 // 64, 3)


def test_images_of_the_same_name_are_drawn_side_by_side(capsys: Captured) -> None:
    for name in ("p/a.png", "q/a.png", "q/a.bmp", "r/1-a.png"):
        write_image(Path(name))
    assert detect("p", "q", "r", "--output", "drawn") == 0
    drawn = [line["picture"].removeprefix("drawn/") for line in lines(capsys)]
    assert sorted(drawn) == files("drawn")
    assert len(set(drawn)) == 4


@pytest.mark.parametrize("name", ["12:30.png", "C:\\photos\\a.png", "..\\..\\a.png", "...png"])
def test_drawings_stay_in_their_folder(name: str, capsys: Captured) -> None:
    write_image(Path("p") / name)
    before = {*files(".")}
    assert detect(f"p/{name}", "--output", "deep/drawn") == 0
    assert {*files(".")} - before == {lines(capsys)[0]["picture"]}
    assert len(files("deep/drawn")) == 1


@pytest.mark.parametrize("output", ["p", "./p/../p", "link"])
def test_no_drawing_replaces_an_image(output: str, capsys: Captured) -> None:
    Path("p").mkdir()
    Path("link").symlink_to("p")
    Path("p/a.jpg").write_bytes(encoded(image(), "JPEG"))
    before = Path("p/a.jpg").read_bytes()
    assert detect("p", "--output", output) == INPUT_ERROR
    assert "is an image itself, draw elsewhere" in capsys.readouterr().err
    assert Path("p/a.jpg").read_bytes() == before


def test_a_drawing_of_a_large_image_is_scaled_down(capsys: Captured) -> None:
    Path("a.png").write_bytes(encoded(image((100, 100, 900, 500), (2000, 1500)), "PNG"))
    assert detect("a.png", "--output", "drawn") == 0
    assert max(pixels("drawn/a.jpg").shape) == SIDE
    (record,) = lines(capsys)[0]["detections"]
    assert record["xmax"] == pytest.approx(900, abs=40)


@pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning")
def test_images_and_drawings_may_lie_in_a_bucket(bucket: str, capsys: Captured) -> None:
    storage.write_bytes(f"{bucket}/photos/a.png", encoded(image(), "PNG"))
    assert detect(f"{bucket}/photos", "--output", f"{bucket}/drawn") == 0
    assert lines(capsys)[0]["picture"] == f"{bucket}/drawn/a.jpg"
    assert storage.exists(f"{bucket}/drawn/a.jpg")
