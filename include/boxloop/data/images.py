"""What has to be known of an image file before anything is trained on it."""

from __future__ import annotations

import hashlib
import io
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from boxloop.data.findings import Finding

_AS_THEY_ARE = ("JPEG", "PNG")  # tf.io.decode_image reads them all, CMYK and 16 bits too
_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
_KNOWN_SUFFIXES = frozenset(suffix for own in _SUFFIXES.values() for suffix in own)
_GREY_MODES = ("1", "L", "LA", "LA;16", "I", "I;16", "I;16B", "I;16L", "F")
_DAMAGED = "the image is damaged or cut short ({}); export it again"
_EXIF_ORIENTATION = 0x0112
_HASH_SIZE = (9, 8)  # width and height: 8 neighbours a row


class ImageFacts(NamedTuple):
    """What an image file is."""

    sha256: str
    width: int
    """Pixels as stored, before any Exif rotation."""
    height: int
    format: str
    """JPEG, PNG, BMP, GIF, TIFF or WEBP: by content, whatever its name says."""
    mode: str
    """Pillow's, with `;16` for every PNG of 16 bits a channel: L, RGB, RGB;16, CMYK."""
    orientation: int
    """Exif's, 1 to 8; 1 is upright, or not stated. TIFF is read upright, so it is always 1."""
    dhash: int | None
    """64 bits of which similar pictures share nearly all; None where nobody asked."""


def read_facts(data: bytes, *, hash_pixels: bool, max_pixels: float | None = None) -> ImageFacts:
    """Return an image file's facts, once it is known to be whole.

    Args:
        data: the file's bytes.
        hash_pixels: decode it to its end, JPEG at up to an eighth of its size, and hash its
            pixels. Without, its header is read, and its end, or its check sums, is looked at:
            about ten times faster for JPEG.
        max_pixels: a picture with more, by its header, is not decoded; None for Pillow's limit.

    Raises:
        ValueError: if it is no image of the formats above, too large, damaged or cut short.
    """
    image = open_image(data)
    (width, height), mode, orientation = image.size, _mode(image, data), _orientation(image)
    dhash = None
    if max_pixels is not None and width * height > max_pixels:
        raise ValueError(f"{width} x {height} pixels are more than {max_pixels:,.0f}; shrink it")
    try:
        if hash_pixels:
            dhash = _dhash(_decode(image, data, is_small=True))
        else:
            _check_end(image, data)
    except Exception as error:  # decoders raise whatever their parser stumbles over
        raise ValueError(_DAMAGED.format(error)) from error
    digest = hashlib.sha256(data).hexdigest()
    return ImageFacts(digest, width, height, _format(image), mode, orientation, dhash)


def findings_of(facts: ImageFacts, name: str) -> list[Finding]:
    """Return what a user should know of an image that is used all the same.

    Args:
        facts: the image's.
        name: its path below the data folder.
    """
    found = []
    suffix = name[name.rfind(".") :].lower()
    if suffix in _KNOWN_SUFFIXES and suffix not in _SUFFIXES[facts.format]:
        found.append(Finding("wrong_suffix", name, f"{facts.format} named {suffix}"))
    if facts.mode in _GREY_MODES:
        found.append(Finding("greyscale", name, f"mode {facts.mode}"))
    if facts.mode == "CMYK" or "16" in facts.mode:
        found.append(Finding("deep_or_cmyk", name, f"mode {facts.mode}"))
    if facts.format not in _AS_THEY_ARE:
        found.append(Finding("converted", name, f"{facts.format}, mode {facts.mode}"))
    if facts.orientation != 1:
        found.append(Finding("exif_rotation", name, f"Exif orientation {facts.orientation}"))
    return found


def to_rgb(data: bytes, *, upright: bool = False) -> bytes:
    """Return a file that TensorFlow decodes into an RGB picture of the same size.

    JPEG and PNG are returned as they are. The first picture of any other file becomes a PNG
    without metadata, its pixels as stored; 16 bits become their upper 8, and pixels of 32 bits
    are stretched from the darkest to the brightest.

    Args:
        data: the file's bytes.
        upright: turn what becomes a PNG as its Exif data ask for.

    Raises:
        ValueError: as `read_facts`.
    """
    if _format(open_image(data)) in _AS_THEY_ARE:
        return data
    return to_png(data, upright=upright)


def to_png(data: bytes, *, upright: bool = False) -> bytes:
    """Return the first picture of a file as `to_rgb` does, but of any format."""
    buffer = io.BytesIO()
    decode_rgb(data, upright=upright).save(buffer, "PNG")
    return buffer.getvalue()


def decode_rgb(data: bytes, *, upright: bool = False) -> Image.Image:
    """Return the first picture of a file in RGB of 8 bits, as `to_png` writes it.

    Raises:
        ValueError: if it cannot be decoded.
    """
    image = open_image(data)
    try:
        rgb = _eight_bits(_decode(image, data)).convert("RGB")
        if upright and image.format != "TIFF":  # which Pillow turns itself
            rgb = ImageOps.exif_transpose(rgb)
    except Exception as error:
        raise ValueError(_DAMAGED.format(error)) from error
    rgb.info.clear()
    return rgb


def open_image(data: bytes) -> Image.Image:
    """Return an image of the formats above, not decoded yet.

    Raises:
        ValueError: if it is none, or has more pixels than Pillow's limit.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=tuple(_SUFFIXES))
    except UnidentifiedImageError:
        raise ValueError(_describe_format(data)) from None
    except Exception as error:
        raise ValueError(f"the image cannot be opened ({error}); export it again") from error
    (width, height), limit = image.size, Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise ValueError(f"{width} x {height} pixels are too many, the limit is {limit}; shrink it")
    return image


def _describe_format(data: bytes) -> str:
    if not data:
        return "the file is empty"
    try:
        found = Image.open(io.BytesIO(data)).format
    except Exception:
        return "not an image, or damaged; JPEG or PNG is needed"
    return f"{found} is not supported; convert it to JPEG or PNG"


def _format(image: Image.Image) -> str:
    # MPO is a JPEG with more pictures after its end, as many phones write
    return "JPEG" if image.format == "MPO" else str(image.format)


def _mode(image: Image.Image, data: bytes) -> str:
    is_deep = image.format == "PNG" and data[24] == 16  # IHDR's bit depth
    return f"{image.mode};16" if is_deep and image.mode != "I;16" else image.mode


def _orientation(image: Image.Image) -> int:
    # not getexif(): it decodes a PNG to its end, and takes XMP's word, which viewers do not
    block = image.info.get("exif")
    if not block or image.format == "TIFF":
        return 1
    exif = Image.Exif()
    try:
        exif.load(block)
        found = exif.get(_EXIF_ORIENTATION)
    except Exception:  # a broken tag turns no picture
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _check_end(image: Image.Image, data: bytes) -> None:
    """Raise if the file is cut short, decoding it only where its end says nothing."""
    if image.format == "PNG":
        image.verify()
    elif _format(image) != "JPEG" or not data[-64:].rstrip(b"\0\r\n").endswith(b"\xff\xd9"):
        _decode(image, data, is_small=True)  # phones append their own data to a whole JPEG


def _decode(image: Image.Image, data: bytes, *, is_small: bool = False) -> Image.Image:
    """Return an image decoded to its end; a JPEG in grey and at up to an eighth if it may be."""
    if image.format == "PNG":
        image.verify()  # check sums, which load() skips and TensorFlow does not
        image = open_image(data)
    if is_small:
        image.draft("L", _HASH_SIZE)
    image.load()
    return image


def _dhash(image: Image.Image) -> int:
    """Return whether each of 8 x 8 cells is darker than its right neighbour, as 64 bits.

    Source: Krawetz, "Kind of Like That", hackerfactor.com, 2013.
    """
    cells = np.asarray(
        _eight_bits(image).convert("L").resize(_HASH_SIZE, Image.Resampling.BILINEAR)
    )
    return int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes(), "big")


def _eight_bits(image: Image.Image) -> Image.Image:
    image.info.pop("transparency", None)  # alpha is dropped, and Pillow warns of it
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode not in ("I", "F"):
        return image
    pixels = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0, neginf=0)
    low, high = pixels.min(), pixels.max()
    return Image.fromarray(((pixels - low) * (255 / ((high - low) or 1))).astype(np.uint8))
