"""What has to be known of an image file before anything is trained on it."""

from __future__ import annotations

import hashlib
import io
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

_FORMATS = ("JPEG", "PNG")  # what TensorFlow decodes into one picture


class ImageFacts(NamedTuple):
    """Digest of an image file, and its size in pixels as stored, before any Exif rotation."""

    sha256: str
    width: int
    height: int


def read_facts(data: bytes) -> ImageFacts:
    """Return an image file's facts, once it has been decoded to its end.

    JPEG is decoded at an eighth of its size, which still reads every byte of it.

    Raises:
        ValueError: if it is neither JPEG nor PNG, too large, damaged or cut short.
    """
    width, height = _open(data).size
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise ValueError(f"{width} x {height} pixels are too many, the limit is {limit}; shrink it")
    try:
        _decode(data)
    except Exception as error:  # decoders raise whatever their parser stumbles over
        raise ValueError(f"the image is damaged or cut short ({error}); export it again") from error
    return ImageFacts(hashlib.sha256(data).hexdigest(), width, height)


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError:
        raise ValueError(_describe_format(data)) from None
    except Exception as error:
        raise ValueError(f"the image cannot be opened ({error})") from error


def _describe_format(data: bytes) -> str:
    if not data:
        return "the file is empty"
    try:
        found = Image.open(io.BytesIO(data)).format
    except Exception:
        return "not an image, or damaged; JPEG or PNG is needed"
    return f"{found} is not supported; convert it to JPEG or PNG"


def _decode(data: bytes) -> None:
    image = _open(data)
    if image.format == "PNG":
        image.verify()  # check sums, which load() skips and TensorFlow does not
        image = _open(data)
    image.draft("L", (1, 1))
    image.load()
