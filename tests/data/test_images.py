import hashlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.data.pictures import (
    FORMATS,
    GREY16,
    HEIGHT,
    MPO,
    RGB16,
    ROTATED,
    WIDTH,
    encoded,
    exif,
    picture,
    png,
    scene,
)

from boxloop.data.findings import KINDS, Finding
from boxloop.data.images import ImageFacts, findings_of, read_facts, to_rgb

FACTS = ImageFacts("", WIDTH, HEIGHT, "JPEG", "RGB", 1, None)


@pytest.mark.parametrize("hash_pixels", [True, False])
@pytest.mark.parametrize(
    ("data", "kind", "mode"),
    [
        *(pytest.param(picture(kind), kind, "RGB", id=kind) for kind in ("JPEG", "PNG", "WEBP")),
        pytest.param(picture("BMP"), "BMP", "RGB", id="BMP"),
        pytest.param(picture("GIF"), "GIF", "P", id="GIF"),
        pytest.param(picture("TIFF"), "TIFF", "RGB", id="TIFF"),
        pytest.param(MPO, "JPEG", "RGB", id="JPEG with a second picture"),
        pytest.param(picture("JPEG", "L"), "JPEG", "L", id="greyscale JPEG"),
        pytest.param(picture("JPEG", "CMYK"), "JPEG", "CMYK", id="CMYK"),
        pytest.param(picture("JPEG", progressive=True), "JPEG", "RGB", id="progressive"),
        pytest.param(picture("PNG", "P", transparency=b"\1\2"), "PNG", "P", id="palette"),
        pytest.param(GREY16, "PNG", "I;16", id="16-bit greyscale"),
        pytest.param(RGB16, "PNG", "RGB;16", id="16-bit colour"),
        pytest.param(picture("JPEG") + b"phone's own" * 9, "JPEG", "RGB", id="more after the end"),
        pytest.param(picture("PNG") + b"more", "PNG", "RGB", id="more after a PNG"),
        pytest.param(picture("JPEG") + b"\0" * 32, "JPEG", "RGB", id="padded"),
    ],
)
def test_format_mode_and_size_are_of_the_content(
    data: bytes, kind: str, mode: str, hash_pixels: bool
) -> None:
    facts = read_facts(data, hash_pixels=hash_pixels)
    assert facts[:6] == (hashlib.sha256(data).hexdigest(), WIDTH, HEIGHT, kind, mode, 1)
    assert (facts.dhash is not None) == hash_pixels


@pytest.mark.parametrize(
    ("kind", "stated", "orientation"),
    [
        *(pytest.param("JPEG", number, number, id=f"JPEG {number}") for number in range(1, 9)),
        pytest.param("PNG", ROTATED, ROTATED, id="PNG"),
        pytest.param("WEBP", ROTATED, ROTATED, id="WEBP"),
        pytest.param("JPEG", 9, 1, id="9 is no orientation"),
        pytest.param("JPEG", 0, 1, id="0 is none either"),
    ],
)
def test_orientation_is_exifs_and_the_size_is_the_stored(
    kind: str, stated: int, orientation: int
) -> None:
    facts = read_facts(picture(kind, exif=exif(stated)), hash_pixels=False)
    assert (facts.orientation, facts.width, facts.height) == (orientation, WIDTH, HEIGHT)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_broken_exif_turns_nothing() -> None:
    data = picture("JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff broken")
    assert read_facts(data, hash_pixels=False).orientation == 1


def test_tiff_is_read_upright() -> None:
    data = picture("TIFF", exif=exif(ROTATED))
    facts = read_facts(data, hash_pixels=True)
    assert (facts.orientation, facts.width, facts.height) == (1, HEIGHT, WIDTH)
    converted = Image.open(io.BytesIO(to_rgb(data)))
    assert converted.size == (HEIGHT, WIDTH)


def bad_check_sum() -> bytes:
    """A PNG whose pixels' check sum is wrong, though they can be unpacked."""
    data = bytearray(picture("PNG"))
    data[-13] ^= 1  # IEND takes the last 12 bytes
    return bytes(data)


@pytest.mark.parametrize("hash_pixels", [True, False])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"hello", "not an image, or damaged", id="text"),
        pytest.param(picture("PPM"), "PPM is not supported; convert it to JPEG", id="PPM"),
        *(
            pytest.param(data[: len(data) * 3 // 4], r"cut short|opened", id=f"cut {kind}")
            for kind in FORMATS
            if kind != "TIFF"
            for data in [picture(kind)]
        ),
        pytest.param(picture("TIFF")[:-600], r"cut short|opened", id="cut TIFF"),
        pytest.param(picture("JPEG")[:-2], "damaged or cut short", id="JPEG without its end"),
        pytest.param(picture("PNG")[:-12], "damaged or cut short", id="PNG without its end"),
        pytest.param(bad_check_sum(), "damaged or cut short", id="PNG check sum"),
        pytest.param(png(60000, 60000, 8, 2, b""), "cannot be opened .* exceeds limit", id="bomb"),
    ],
)
def test_what_is_no_whole_image_is_an_error(data: bytes, message: str, hash_pixels: bool) -> None:
    with pytest.raises(ValueError, match=message):
        read_facts(data, hash_pixels=hash_pixels)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("data", [png(10000, 10000, 8, 2, b"")])
def test_too_many_pixels_are_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="10000 x 10000 pixels are too many, the limit is 8"):
        read_facts(data, hash_pixels=False)
    with pytest.raises(ValueError, match="pixels are too many"):
        to_rgb(data)


@pytest.mark.parametrize(
    ("signs", "dhash"),
    [
        pytest.param([1] * 8, (1 << 64) - 1, id="every row brightens to the right"),
        pytest.param([-1] * 8, 0, id="every row darkens"),
        pytest.param([0] * 8, 0, id="plain"),
        pytest.param([1] + [-1] * 7, 0xFF << 56, id="only the first row brightens"),
        pytest.param([-1] * 7 + [1], 0xFF, id="only the last row brightens"),
    ],
)
def test_each_bit_says_whether_the_right_neighbour_is_brighter(
    signs: list[int], dhash: int
) -> None:
    # 9 x 8 pixels are the 9 x 8 cells
    cells = 128 + 10 * np.outer(signs, np.arange(9))
    data = encoded(Image.fromarray(cells.astype(np.uint8)), "PNG")
    assert read_facts(data, hash_pixels=True).dhash == dhash


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(scene(1, (640, 480)), "JPEG", quality=50), id="compressed"),
        pytest.param(encoded(scene(1, (320, 240)), "PNG"), id="shrunk"),
        pytest.param(encoded(scene(1, (640, 480)).convert("L"), "JPEG"), id="greyscale"),
        pytest.param(encoded(scene(1, (640, 480)), "WEBP"), id="WEBP"),
    ],
)
def test_hashes_of_one_picture_are_near_and_of_two_are_far(data: bytes) -> None:
    original = read_facts(encoded(scene(1, (640, 480)), "PNG"), hash_pixels=True).dhash
    other = read_facts(encoded(scene(2, (640, 480)), "PNG"), hash_pixels=True).dhash
    copy = read_facts(data, hash_pixels=True).dhash
    assert original is not None
    assert other is not None
    assert copy is not None
    assert (copy ^ original).bit_count() <= 4
    assert (copy ^ other).bit_count() > 16


@pytest.mark.parametrize(
    ("facts", "name", "found"),
    [
        pytest.param(FACTS, "images/a.JPG", [], id="clean"),
        pytest.param(FACTS._replace(format="PNG"), "images/a.png", [], id="clean PNG"),
        pytest.param(FACTS, "images/a", [], id="no suffix"),
        pytest.param(FACTS, "images/a.v2", [], id="suffix of nothing"),
        pytest.param(
            FACTS._replace(format="PNG"), "a.jpg", [("wrong_suffix", "PNG named .jpg")], id="PNG"
        ),
        pytest.param(FACTS._replace(mode="L"), "a.jpg", [("greyscale", "mode L")], id="grey"),
        pytest.param(
            FACTS._replace(format="PNG", mode="I;16"),
            "a.png",
            [("greyscale", "mode I;16"), ("deep_or_cmyk", "mode I;16")],
            id="16-bit grey",
        ),
        pytest.param(FACTS._replace(mode="CMYK"), "a", [("deep_or_cmyk", "mode CMYK")], id="CMYK"),
        pytest.param(
            FACTS._replace(format="BMP"), "a.bmp", [("converted", "BMP, mode RGB")], id="BMP"
        ),
        pytest.param(
            FACTS._replace(format="TIFF", mode="L"),
            "a.png",
            [
                ("wrong_suffix", "TIFF named .png"),
                ("greyscale", "mode L"),
                ("converted", "TIFF, mode L"),
            ],
            id="three at once",
        ),
        pytest.param(
            FACTS._replace(orientation=6),
            "a.jpg",
            [("exif_rotation", "Exif orientation 6")],
            id="rotated",
        ),
    ],
)
def test_what_is_worth_knowing_is_found(
    facts: ImageFacts, name: str, found: list[tuple[str, str]]
) -> None:
    assert findings_of(facts, name) == [Finding(kind, name, detail) for kind, detail in found]
    assert {kind for kind, _ in found} <= set(KINDS)


@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes_are_an_error(data: bytes, hash_pixels: bool) -> None:
    with pytest.raises(ValueError, match=r"empty|not an image|not supported|opened|damaged"):
        read_facts(data, hash_pixels=hash_pixels)


@given(
    st.sampled_from([picture(kind) for kind in FORMATS]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    st.floats(0, 1),
    st.booleans(),
)
def test_spoilt_file_is_an_image_or_an_error(
    data: bytes, spots: list[tuple[float, int]], share: float, hash_pixels: bool
) -> None:
    spoilt = bytearray(data)
    for place, value in spots:
        spoilt[int(place * len(data))] = value
    kept = bytes(spoilt[: round(share * len(data))])
    try:
        facts = read_facts(kept, hash_pixels=hash_pixels)
        assert to_rgb(kept)
    except ValueError:
        return
    assert facts.width * facts.height > 0


@given(
    st.sampled_from(FORMATS),
    st.sampled_from(["L", "RGB"]),
    st.integers(1, 70),
    st.integers(1, 70),
    st.booleans(),
)
def test_good_image_of_any_size_is_read(
    kind: str, mode: str, width: int, height: int, hash_pixels: bool
) -> None:
    data = encoded(scene(width, (width, height)).convert(mode), kind)
    facts = read_facts(data, hash_pixels=hash_pixels)
    assert (facts.width, facts.height, facts.format) == (width, height, kind)
    assert Image.open(io.BytesIO(to_rgb(data))).size == (width, height)
