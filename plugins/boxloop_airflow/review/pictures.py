"""Images of a review queue, made small for a page."""

from __future__ import annotations

import io
import threading
from functools import lru_cache

from PIL import Image

from boxloop import storage
from boxloop.data.images import open_image, to_png

VIEW_SIDE = 1280  # pixels, at the most
CROP_SIDE = 240
MARGIN = 0.35
"""Of a crop around its box, in sides of the box."""
_QUALITY = 85
_LARGEST_FILE = 2**27  # bytes
_TURNS = threading.BoundedSemaphore(2)  # a decoded image may take hundreds of megabytes

Edges = tuple[float, float, float, float]


@lru_cache(maxsize=512)
def read_jpeg(uri: str, digest: str, region: Edges | None, side: int) -> bytes:
    """Return an image, or a region of it, as a JPEG without metadata, its pixels as stored.

    Args:
        uri: of the image.
        digest: its sha256 as the dataset has it: another image is kept apart.
        region: xmin, ymin, xmax, ymax in pixels, 0-based, max edge exclusive; None: all of it.
        side: of the JPEG at the most, in pixels.

    Raises:
        ValueError: if it is no image, damaged, too large, or not there any more.
    """
    try:
        data = storage.read_start(uri, _LARGEST_FILE + 1)
    except OSError as error:
        raise ValueError(f"the image cannot be read ({type(error).__name__})") from error
    if len(data) > _LARGEST_FILE:
        raise ValueError(f"the file has more than {_LARGEST_FILE} bytes")
    with _TURNS:
        return _to_jpeg(data, region, side)


def around(box: Edges, width: int, height: int) -> Edges:
    """Return a region that shows a box with some of what surrounds it, inside the image."""
    xmin, ymin, xmax, ymax = box
    half = max(xmax - xmin, ymax - ymin) * (0.5 + MARGIN)
    x, y = (xmin + xmax) / 2, (ymin + ymax) / 2
    return max(x - half, 0), max(y - half, 0), min(x + half, width), min(y + half, height)


def _to_jpeg(data: bytes, region: Edges | None, side: int) -> bytes:
    try:
        small = _shrink(data, region, side)
    except ValueError:
        raise
    except Exception as error:  # decoders raise whatever their parser stumbles over
        raise ValueError(f"the image is damaged ({error})") from error
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _shrink(data: bytes, region: Edges | None, side: int) -> Image.Image:
    image = open_image(data)
    if image.format not in ("JPEG", "MPO"):
        image = open_image(to_png(data))
    xmin, ymin, xmax, ymax = region or (0, 0, *image.size)
    scale = min(side / max(xmax - xmin, ymax - ymin, 1), 1)
    width, height = image.size
    image.draft("RGB", (round(width * scale), round(height * scale)))  # a large JPEG, faster
    part = (
        xmin * image.width / width,
        ymin * image.height / height,
        xmax * image.width / width,
        ymax * image.height / height,
    )
    size = (max(round((xmax - xmin) * scale), 1), max(round((ymax - ymin) * scale), 1))
    return image.convert("RGB").resize(size, Image.Resampling.BICUBIC, box=part)
