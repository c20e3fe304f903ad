import io

import numpy as np
import pytest
from PIL import Image
from tests.data.pictures import GREY16, HEIGHT, MPO, RGB16, ROTATED, WIDTH, encoded, exif, picture

from boxloop.data.images import to_png, to_rgb


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(picture("JPEG"), id="JPEG"),
        pytest.param(picture("JPEG", "CMYK"), id="CMYK"),
        pytest.param(MPO, id="JPEG with a second picture"),
        pytest.param(picture("PNG", "P"), id="palette"),
        pytest.param(GREY16, id="16-bit greyscale"),
        pytest.param(RGB16, id="16-bit colour"),
    ],
)
def test_jpeg_and_png_stay_as_they_are(data: bytes) -> None:
    assert to_rgb(data) is data


def of_values(values: list[float], dtype: type) -> Image.Image:
    return Image.fromarray(np.array([values], dtype=dtype))


@pytest.mark.parametrize(
    ("data", "pixels"),
    [
        pytest.param(
            encoded(of_values([0, 0x00FF, 0x0100, 0xFFFF], np.uint16), "TIFF"),
            [0, 0, 1, 255],
            id="upper 8 of 16 bits",
        ),
        pytest.param(
            encoded(of_values([-1, 0, 1, np.nan], np.float32), "TIFF"),
            [0, 127, 255, 127],  # 127.5 is cut
            id="fractions are stretched",
        ),
        pytest.param(
            encoded(of_values([70000, 70000], np.int32), "TIFF"), [0, 0], id="plain 32 bits"
        ),
        pytest.param(encoded(of_values([5, 6], np.uint8), "BMP"), [5, 6], id="greyscale"),
        pytest.param(
            encoded(of_values([5, 6], np.uint8), "WEBP", lossless=True, exif=exif(ROTATED)),
            [5, 6],
            id="Exif's rotation is not applied",
        ),
        pytest.param(
            encoded(
                of_values([5, 200], np.uint8),
                "GIF",
                save_all=True,
                append_images=[of_values([7, 8], np.uint8)],
            ),
            [5, 200],
            id="first of many",
        ),
    ],
)
def test_other_formats_become_a_png_of_the_same_pixels(data: bytes, pixels: list[int]) -> None:
    converted = to_rgb(data)
    image = Image.open(io.BytesIO(converted))
    assert (image.format, image.mode, image.info) == ("PNG", "RGB", {})
    assert np.asarray(image).tolist() == [[[value] * 3 for value in pixels]]
    assert to_rgb(data) == converted


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_jpeg_becomes_a_png_of_its_own_size_and_colours(mode: str) -> None:
    data = picture("JPEG", mode, exif=exif(ROTATED))
    converted = Image.open(io.BytesIO(to_png(data)))
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(np.asarray(converted), expected)
    assert not converted.getexif()


def test_damaged_file_is_not_converted() -> None:
    with pytest.raises(ValueError, match="damaged or cut short"):
        to_rgb(picture("BMP")[:-100])


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(picture("JPEG", "CMYK", quality=95), id="CMYK"),
        pytest.param(picture("JPEG", quality=95, exif=exif(ROTATED)), id="rotated by Exif"),
        pytest.param(picture("JPEG", quality=95) + b"phone's own" * 9, id="more after the end"),
        pytest.param(MPO, id="JPEG with a second picture"),
        *(pytest.param(picture("PNG", mode), id=mode) for mode in ("1", "L", "LA", "P", "RGBA")),
        pytest.param(RGB16, id="16-bit colour"),
        *(pytest.param(picture(kind), id=kind) for kind in ("BMP", "GIF", "TIFF", "WEBP")),
    ],
)
def test_tensorflow_decodes_what_it_is_given_as_pillow_does(data: bytes) -> None:
    import tensorflow as tf

    given_to_it = to_rgb(data)
    decoded = tf.io.decode_image(given_to_it, channels=3).numpy().astype(int)
    expected = np.asarray(Image.open(io.BytesIO(given_to_it)).convert("RGB")).astype(int)
    assert decoded.shape == (HEIGHT, WIDTH, 3)
    # decoders of JPEG blend colours in ways of their own; inverted or turned it would be far more
    assert np.abs(decoded - expected).mean() < 5


@pytest.mark.slow
def test_tensorflow_reads_the_upper_byte_of_16_bits() -> None:
    import tensorflow as tf

    assert tf.io.decode_image(GREY16, channels=3).numpy()[0, 0].tolist() == [128] * 3
    assert tf.io.decode_image(RGB16, channels=3).numpy()[0, 0].tolist() == [255, 128, 1]
