"""Pictures for the report: which to show, and how to make them small."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from boxloop.data.dataset import XYXY
from boxloop.data.images import open_image

THUMBNAIL_SIDE = 220  # pixels
_JPEG_QUALITY = 75

ReadImage = Callable[[str], bytes]


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A small picture to put into a page; the size is that of the image it was made from."""

    data_uri: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class Example:
    """A candidate image with what the oracle said to it."""

    image_id: str
    image_label: str | None
    class_name: str | None
    score: float | None
    box: tuple[float, float, float, float] | None
    """xmin, ymin, width, height in pixels, or None where nothing was detected."""
    reason: str
    is_right: bool | None
    """Whether a true box of the class lies under it; None where that is not known."""
    thumbnail: Thumbnail | None
    """None where the image cannot be read."""


def choose(rows: pd.DataFrame, by: str, num_examples: int) -> pd.DataFrame:
    """Choose rows spread over the values of a column, by a hash of the image and not by score.

    The same rows always give the same choice, whatever their order.
    """
    keys = [hashlib.sha256(str(image_id).encode()).hexdigest() for image_id in rows["image_id"]]
    shuffled = rows.assign(_key=keys).sort_values("_key")
    turns = shuffled.groupby(by, dropna=False).cumcount()
    chosen = shuffled.assign(_turn=turns).sort_values(["_turn", "_key"]).head(num_examples)
    return chosen.drop(columns=["_key", "_turn"])


def build_example(
    row: Mapping[Any, Any], *, is_right: bool | None, uri: str, read: ReadImage
) -> Example:
    """Return a row of the adoptions table with its picture."""
    xmin, ymin, xmax, ymax = (_number(row[edge]) or 0.0 for edge in XYXY)
    return Example(
        image_id=str(row["image_id"]),
        image_label=_text(row["image_label"]),
        class_name=_text(row["class_name"]),
        score=_number(row["score"]),
        box=(xmin, ymin, xmax - xmin, ymax - ymin) if xmax > xmin and ymax > ymin else None,
        reason=str(row["reason"]),
        is_right=is_right,
        thumbnail=read_thumbnail(uri, read),
    )


def read_thumbnail(uri: str, read: ReadImage) -> Thumbnail | None:
    """Return an image as a small JPEG, or None where it cannot be read."""
    buffer = io.BytesIO()
    try:
        with open_image(read(uri)) as image:
            width, height = image.size
            image.draft("RGB", (THUMBNAIL_SIDE, THUMBNAIL_SIDE))  # decodes a large JPEG faster
            small = image.convert("RGB")
    except Exception:  # decoders raise whatever their parser stumbles over
        return None
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    small.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Thumbnail(data_uri=f"data:image/jpeg;base64,{data}", width=width, height=height)


def _text(value: Any) -> str | None:
    return None if pd.isna(value) else str(value)


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
