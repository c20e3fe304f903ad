"""Images of a run's data, made small for a page."""

from __future__ import annotations

import io
from functools import lru_cache

from anyio import CapacityLimiter
from PIL import Image

from boxloop import storage
from boxloop.data.images import decode_rgb, open_image

DECODERS = CapacityLimiter(2)
"""Threads apart from Airflow's own; a decoded image may take hundreds of megabytes."""
VIEW_SIDE = 1280  # pixels, at the most
CROP_SIDE = 240
MARGIN = 0.35
"""Of a crop around its box, in sides of the box."""
_QUALITY = 85
_LARGEST_FILE = 2**27  # bytes
_MOST_PIXELS = 40_000_000  # but of a JPEG, which is decoded at a fraction of its size

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
    except Exception as error:  # a bucket has errors of its own; none tells what lies there
        raise ValueError("the image cannot be read") from error
    if len(data) > _LARGEST_FILE:
        raise ValueError(f"the file has more than {_LARGEST_FILE} bytes")
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
        if image.width * image.height > _MOST_PIXELS:
            shape = f"{image.width} x {image.height}"
            raise ValueError(f"{shape} pixels are too many, the limit is {_MOST_PIXELS}")
        image = decode_rgb(data)
    xmin, ymin, xmax, ymax = region or (0, 0, *image.size)
    scale = min(side / max(xmax - xmin, ymax - ymin, 1), 1)
    width, height = image.size
    # a large JPEG, faster; of others it does nothing
    image.draft("RGB", (round(width * scale), round(height * scale)))
    part = (
        xmin * image.width / width,
        ymin * image.height / height,
        xmax * image.width / width,
        ymax * image.height / height,
    )
    size = (max(round((xmax - xmin) * scale), 1), max(round((ymax - ymin) * scale), 1))
    return image.convert("RGB").resize(size, Image.Resampling.BICUBIC, box=part)
