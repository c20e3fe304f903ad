import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boxloop_airflow.pages import pictures


def write(path: Path, image: Image.Image, kind: str, **options: object) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    path.write_bytes(buffer.getvalue())
    return str(path)


def read(uri: str, region: pictures.Edges | None, side: int) -> Image.Image:
    image = Image.open(io.BytesIO(pictures.read_jpeg(uri, uri, region, side)))
    assert image.format == "JPEG"
    return image


def halves(width: int, height: int) -> Image.Image:
    """An image that is red on the left and blue on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


def test_a_large_image_is_made_small_and_keeps_its_shape(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.jpg", halves(3000, 1500), "JPEG")
    assert read(uri, None, 1280).size == (1280, 640)


def test_a_small_image_is_not_made_large(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.png", halves(64, 32), "PNG")
    assert read(uri, None, 1280).size == (64, 32)


def test_a_region_of_a_large_jpeg_is_that_region(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.jpg", halves(2000, 1000), "JPEG")
    shown = np.asarray(read(uri, (500, 0, 1500, 1000), 200))
    assert shown.shape == (200, 200, 3)
    assert shown[100, 80, 0] > 200 > 50 > shown[100, 80, 2]  # red up to the middle
    assert shown[100, 120, 2] > 200 > 50 > shown[100, 120, 0]


def test_pixels_are_shown_as_they_are_stored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a viewer, which would shift the boxes
    uri = write(tmp_path / "a.jpg", halves(64, 32), "JPEG", exif=exif)
    shown = read(uri, None, 1280)
    assert shown.size == (64, 32)
    assert dict(shown.getexif()) == {}


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGBA"), ("PNG", "P"), ("PNG", "I;16"), ("WEBP", "RGB")]
)
def test_every_kind_that_a_dataset_takes_is_shown(tmp_path: Path, kind: str, mode: str) -> None:
    plain = Image.fromarray(np.full((8, 8), 40_000, np.uint16)) if mode == "I;16" else None
    uri = write(tmp_path / "a", plain or halves(8, 8).convert(mode), kind)
    assert read(uri, None, 100).mode == "RGB"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", id="SVG"),
        pytest.param(b"<html><script>alert(1)</script></html>", id="HTML"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xd8\xff\xe0 and no more", id="cut short"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"image|empty"):
        pictures.read_jpeg(str(path), str(path), None, 100)


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    uri = write(tmp_path / "a.png", Image.new("1", (41_000, 1000)), "PNG")
    with pytest.raises(ValueError, match="the limit is 40000000"):
        pictures.read_jpeg(uri, uri, None, 100)


def test_a_crop_is_a_square_around_the_box_cut_at_the_image() -> None:
    # 10 x 20 box: half a side is 20 * (0.5 + 0.35) = 17
    assert pictures.around((45, 40, 55, 60), 100, 100) == (33, 33, 67, 67)
    assert pictures.around((0, 0, 10, 20), 100, 100) == (0, 0, 22, 27)
