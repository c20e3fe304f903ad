import io
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.data.pictures import RGB16, ROTATED, encoded, exif, picture, png
from tests.inference.fakes import SPEC, RedFinder, engine, image, write_image

from boxloop.data.dataset import DETECTION_COLUMNS, from_parquet, to_parquet
from boxloop.inference.engine import Engine, num_cores
from boxloop.inference.portable import Array
from boxloop.inference.stream import Detections, Unreadable, detect_all, to_table


@pytest.fixture
def images(tmp_path: Path) -> list[tuple[str, str]]:
    """Images in which a red box begins further and further to the right."""
    places = [(number, 16, number + 20, 32) for number in range(40)]
    return [(f"{p[0]}", write_image(tmp_path / f"{p[0]}.png", p)) for p in places]


def animation() -> bytes:
    buffer = io.BytesIO()
    image().save(buffer, "GIF", save_all=True, append_images=[image(None), image(None)])
    return buffer.getvalue()


def png_of(width: int, height: int) -> bytes:
    """Return a black PNG of so many pixels, a bit each."""
    return png(width, height, 1, 0, (b"\0" * (1 + -(-width // 8))) * height)


BAD: dict[str, bytes] = {
    "huge.png": png_of(20_000, 20_000),
    "corrupt.png": b"\x89PNG\r\n\x1a\n" + bytes(range(200)),
    "cut.jpg": picture("JPEG", quality=95)[:-200],
    "cut.png": encoded(image(), "PNG")[:-30],
    "empty.jpg": b"",
    "notes.txt": b"bananas, milk",
}
GOOD: dict[str, bytes] = {
    "one.png": encoded(Image.new("RGB", (1, 1)), "PNG"),
    "moving.gif": animation(),
    "print.jpg": encoded(image().convert("CMYK"), "JPEG", quality=95),
    "deep.png": RGB16,
    "last.png": encoded(image(), "PNG"),
}


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("threads", [1, 3])
def test_images_come_back_in_their_order(
    images: list[tuple[str, str]], batch_size: int, threads: int
) -> None:
    results = list(detect_all(engine(batch_size=batch_size, threads=threads), SPEC, images))
    assert [each.image_id for each in results] == [image_id for image_id, _ in images]
    left = [each.found.boxes_xyxy[0, 0] for each in results if isinstance(each, Detections)]
    assert left == list(range(40))


def test_batches_are_full_but_for_the_last(images: list[tuple[str, str]]) -> None:
    finder = RedFinder()
    list(detect_all(engine(finder, batch_size=16, threads=1), SPEC, images))
    assert finder.batches == [16, 16, 8]


def test_agreement_asks_three_times_in_batches_of_the_engines_size(
    images: list[tuple[str, str]],
) -> None:
    finder = RedFinder()
    few = engine(finder, batch_size=4, threads=1)
    results = list(detect_all(few, SPEC, images[:4], with_agreement=True))
    assert finder.batches == [4, 4, 4]
    for each in results:
        assert isinstance(each, Detections)
        assert each.agreement == pytest.approx([1], abs=0.15)


def test_what_cannot_be_read_is_named_and_the_rest_is_done(tmp_path: Path) -> None:
    contents = BAD | GOOD
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.jpg").mkdir()
    names = [*contents, "folder.jpg", "missing.jpg"]
    results = list(
        detect_all(engine(batch_size=32), SPEC, [(name, str(tmp_path / name)) for name in names])
    )
    reasons = {each.image_id: each.reason for each in results if isinstance(each, Unreadable)}
    found = {each.image_id: each.found for each in results if isinstance(each, Detections)}
    assert list(found) == list(GOOD)
    assert {name for name, each in found.items() if len(each.scores)} == {
        "moving.gif",
        "print.jpg",
        "last.png",
    }
    assert reasons.keys() == {*BAD, "folder.jpg", "missing.jpg"}
    assert "pixels" in reasons["huge.png"]
    assert reasons["empty.jpg"] == "the file is empty"
    assert "not an image" in reasons["notes.txt"]
    assert "Is a directory" in reasons["folder.jpg"]
    assert "No such file" in reasons["missing.jpg"]
    for name in ("corrupt.png", "cut.jpg", "cut.png"):
        assert "damaged" in reasons[name], reasons[name]


def test_all_unreadable_is_a_list_of_reasons(tmp_path: Path) -> None:
    names = [(f"{number}.jpg", str(tmp_path / "none.jpg")) for number in range(50)]
    results = list(detect_all(engine(), SPEC, names))
    assert [each.image_id for each in results] == [name for name, _ in names]
    assert {type(each) for each in results} == {Unreadable}


def test_no_images_give_nothing() -> None:
    assert list(detect_all(engine(), SPEC, [])) == []


def test_exif_turns_an_image_only_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    path.write_bytes(encoded(image((0, 0, 64, 8)), "JPEG", quality=95, exif=exif(ROTATED)))
    edges = []
    for upright in (False, True):
        (result,) = detect_all(engine(), SPEC, [("turned", str(path))], upright=upright)
        assert isinstance(result, Detections)
        edges.append(result.found.boxes_xyxy[0])
    assert edges[0] == pytest.approx([0, 0, 64, 8], abs=1)
    assert edges[1] == pytest.approx([40, 0, 48, 64], abs=2)  # what was on top is at the right


@pytest.mark.parametrize("batch_size", [1, 16])
def test_few_images_are_read_before_they_are_asked_for(tmp_path: Path, batch_size: int) -> None:
    uri, taken = write_image(tmp_path / "a.png"), itertools.count()
    endless = ((f"{number}", uri) for number in taken)
    threads = 2
    results = detect_all(engine(batch_size=batch_size, threads=threads), SPEC, endless)
    asked = 3 * batch_size
    for _ in range(asked):
        next(results)
    results.close()  # type: ignore[attr-defined]
    ahead = 2 * max(num_cores(), batch_size) + (2 * threads + 1) * batch_size
    assert next(taken) <= asked + ahead + 2


def test_an_error_of_the_engine_ends_it(images: list[tuple[str, str]]) -> None:
    def broken(frames: Array) -> tuple[Array, Array, None]:
        raise RuntimeError("out of memory")

    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="out of memory"):
        list(detect_all(Engine("broken", broken, 4, 2), SPEC, images))
    assert not set(threading.enumerate()) - before


def test_a_table_has_the_columns_of_detections_in_the_order_given(tmp_path: Path) -> None:
    uris = [("b", write_image(tmp_path / "b.png")), ("a", write_image(tmp_path / "a.png"))]
    table = to_table(_only_found(detect_all(engine(), SPEC, uris)), SPEC.classes)
    assert dict(table.dtypes.astype(str)) == DETECTION_COLUMNS
    assert table["image_id"].tolist() == ["b", "a"]
    assert table["class_name"].tolist() == ["dog", "dog"]
    assert table[["xmin", "ymin", "xmax", "ymax"]].to_numpy().tolist() == [[16, 16, 48, 32]] * 2
    assert table["score"].tolist() == pytest.approx([0.9] * 2)
    assert table["agreement"].isna().all()


@pytest.mark.parametrize("detections", ["none", "empty"])
def test_a_table_of_nothing_has_the_same_columns(detections: str, tmp_path: Path) -> None:
    uris = [("a", write_image(tmp_path / "a.png", None))] if detections == "empty" else []
    table = to_table(_only_found(detect_all(engine(), SPEC, uris)), SPEC.classes)
    assert len(table) == 0
    assert dict(from_parquet(to_parquet(table)).dtypes.astype(str)) == DETECTION_COLUMNS


def _only_found(results: Iterator[Any]) -> list[Detections]:
    found = list(results)
    assert all(isinstance(each, Detections) for each in found)
    return found


def test_every_format_is_turned_as_exif_asks(tmp_path: Path) -> None:
    boxes = []
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        path = tmp_path / f"a.{kind.lower()}"
        path.write_bytes(encoded(image(), kind, exif=exif(ROTATED), **options))
        (result,) = detect_all(engine(), SPEC, [("a", str(path))], upright=True)
        assert isinstance(result, Detections)
        boxes.append(result.found.boxes_xyxy.tolist())
    assert boxes[0] == boxes[1]


def test_an_error_that_may_pass_is_not_the_images_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reset(uri: str) -> bytes:
        raise ConnectionResetError(uri)

    monkeypatch.setattr("boxloop.storage.read_again", reset)
    with pytest.raises(ConnectionResetError):
        list(detect_all(engine(), SPEC, [("a", write_image(tmp_path / "a.png"))]))


def test_large_images_wait_for_each_other_and_cost_no_more_than_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boxloop.inference.stream.LARGE", 100)
    uris = [write_image(tmp_path / f"{number}.png") for number in range(4)]
    at_once, most = 0, 0

    def count(content: bytes, **options: bool) -> bytes:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.02)
        at_once -= 1
        return content

    monkeypatch.setattr("boxloop.inference.stream.to_rgb", count)
    assert len(list(detect_all(engine(), SPEC, [(uri, uri) for uri in uris]))) == 4
    assert most == 1


def test_an_image_too_large_for_the_memory_costs_itself(
    images: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(content: bytes, **options: bool) -> bytes:
        raise MemoryError

    monkeypatch.setattr("boxloop.inference.stream.to_rgb", fail)
    (result,) = detect_all(engine(), SPEC, images[:1])
    assert isinstance(result, Unreadable)
    assert "not enough memory" in result.reason
