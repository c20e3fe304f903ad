"""Image files of every format, mode and oddity, to try readers on."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 40, 30
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")
ROTATED = 6


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def scene(seed: int = 1, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """A picture of soft spots; another seed is another picture."""
    spots = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(spots).resize(size, Image.Resampling.BICUBIC)


def picture(kind: str, mode: str = "RGB", **options: object) -> bytes:
    return encoded(scene().convert(mode), kind, **options)


def exif(orientation: object) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, depth: int, color_type: int, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def png_of_a_colour(depth: int, color_type: int, color: tuple[int, ...]) -> bytes:
    row = b"\0" + struct.pack(f">{len(color)}H", *color) * WIDTH
    return png(WIDTH, HEIGHT, depth, color_type, row * HEIGHT)


RGB16 = png_of_a_colour(16, 2, (0xFF00, 0x80FF, 0x0101))  # upper bytes 255, 128, 1
GREY16 = png_of_a_colour(16, 0, (0x80FF,))
MPO = picture("MPO", save_all=True, append_images=[scene(2)])  # as phones write: two pictures
