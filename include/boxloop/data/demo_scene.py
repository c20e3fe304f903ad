"""Draw one scene of the demo: a main character in a landscape, others, and clutter.

The main character's class is the image-level label. Boxes are tight around what is visible: not
around what the image's edge cuts off or what something in front hides.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageOps

from boxloop.data.formats.annotation import Box

# From the most frequent class to the rarest; pip and tock, bramble and bracken are alike.
CLASSES = ("pip", "bramble", "mellow", "tock", "grumble", "bracken", "dapple", "wisp")
FREQUENCIES = 6.0 ** -np.linspace(0, 1, len(CLASSES))  # of the classes, in proportion
SIDE = 256  # pixels

# How hard the scenes are. Larger is harder, unless said otherwise.
MAIN_SCALE = (0.35, 0.65)  # longer side of the main character / side of the image; smaller: harder
OTHER_SCALE = (0.25, 0.45)  # the same for the others
OTHERS_SHARE = 1 / 3  # scenes with a character of another class
ROTATION = 25.0  # degrees to either side
CENTER = (0.08, 0.92)  # where centres lie, of the side; wider: more are cut off by the edge
MIN_INSIDE = 0.60  # least share of a character inside the image; smaller: harder
MIN_VISIBLE = 0.40  # least share that is inside and not hidden; smaller: harder
BACK_CLUTTER = (3, 8)  # pieces behind the characters, from and to
FRONT_CLUTTER = (0, 1)  # pieces that may hide characters
CLUTTER_SCALE = (0.08, 0.30)  # longer side of a piece / side of the image
FRAGMENT_SHARE = 0.4  # clutter that is cut out of characters; the rest is plain
HUE_JITTER = 40.0  # degrees to either side, per character
COLOR_JITTER = 0.25  # saturation and brightness of a character, to either side of 1
LIGHT_JITTER = 0.20  # brightness, contrast and colour of the whole scene, to either side of 1
PAIR_HUE_SHIFT = {"tock": 12.0, "bracken": 12.0}  # degrees away from its double; smaller: harder

_SPRITES = Path(__file__).parent / "sprites"
_LEVELS = np.arange(256)
_PLACEMENTS = 1000  # attempts; with the ranges above a handful is enough

Mask = NDArray[np.bool_]


class _Piece(NamedTuple):
    """A picture ready to be pasted; name is None for clutter."""

    name: str | None
    picture: Image.Image


class _Placed(NamedTuple):
    piece: _Piece
    left: int
    top: int


def draw_scene(rng: np.random.Generator, label: str) -> tuple[Image.Image, list[Box]]:
    """Draw one scene whose main character is of the class `label`; its box comes first."""
    characters = [_character(rng, label, MAIN_SCALE)]
    characters += [_character(rng, name, OTHER_SCALE) for name in _others(rng, label)]
    back, front = (_clutter(rng, *count) for count in (BACK_CLUTTER, FRONT_CLUTTER))
    order = [characters[i] for i in rng.permutation(len(characters))]
    placed, boxes = _place(rng, [*back, *order, *front])
    scene = _background(rng)
    for piece, left, top in placed:
        scene.paste(piece.picture, (left, top), piece.picture)
    return _relight(rng, scene), sorted(boxes, key=lambda box: box.class_name != label)


def _others(rng: np.random.Generator, label: str) -> list[str]:
    if rng.random() >= OTHERS_SHARE:
        return []
    frequencies = FREQUENCIES * [name != label for name in CLASSES]
    return [str(rng.choice(CLASSES, p=frequencies / frequencies.sum()))]


def _character(rng: np.random.Generator, name: str, scale: tuple[float, float]) -> _Piece:
    poses = _pictures(f"{name}_*.png")
    sprite = poses[int(rng.integers(len(poses)))]
    hue = PAIR_HUE_SHIFT.get(name, 0.0) + rng.uniform(-HUE_JITTER, HUE_JITTER)
    return _Piece(name, _recolor(rng, _turn(rng, sprite, rng.uniform(*scale), ROTATION), hue))


@cache
def _pictures(pattern: str) -> list[Image.Image]:
    pictures = []
    for path in sorted(_SPRITES.glob(pattern)):
        with Image.open(path) as picture:
            pictures.append(picture.convert("RGBA"))
    return pictures


def _recolor(rng: np.random.Generator, picture: Image.Image, degrees: float) -> Image.Image:
    hue, saturation, value = picture.convert("RGB").convert("HSV").split()
    by = round(degrees * 256 / 360)
    factors = rng.uniform(1 - COLOR_JITTER, 1 + COLOR_JITTER, 2)
    hue = hue.point(((_LEVELS + by) % 256).tolist())
    saturation, value = (
        band.point(np.minimum(_LEVELS * factor, 255).astype(int).tolist())
        for band, factor in zip((saturation, value), factors.tolist(), strict=True)
    )
    colored = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    colored.putalpha(picture.getchannel("A"))
    return colored


def _turn(
    rng: np.random.Generator, picture: Image.Image, scale: float, degrees: float
) -> Image.Image:
    """Flip at random, scale the longer side to a share of the image's, and rotate."""
    if rng.random() < 0.5:
        picture = ImageOps.mirror(picture)
    factor = scale * SIDE / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    angle = rng.uniform(-degrees, degrees)
    turned = picture.resize(size, Image.Resampling.LANCZOS)
    return turned.rotate(angle, Image.Resampling.BICUBIC, expand=True)


def _clutter(rng: np.random.Generator, low: int, high: int) -> list[_Piece]:
    pieces = []
    for _ in range(int(rng.integers(low, high + 1))):
        is_fragment = rng.random() < FRAGMENT_SHARE
        picture = _fragment(rng) if is_fragment else _shape(rng)
        turned = _turn(rng, picture, rng.uniform(*CLUTTER_SCALE), 180.0)
        pieces.append(_Piece(None, _recolor(rng, turned, 0)))
    return pieces


def _fragment(rng: np.random.Generator) -> Image.Image:
    """Cut an oval of about a tenth of its area out of a character."""
    poses = _pictures(f"{CLASSES[int(rng.integers(len(CLASSES)))]}_*.png")
    sprite = poses[int(rng.integers(len(poses)))]
    share, at = rng.uniform(0.3, 0.5, 2), rng.random(2)
    size = np.array(sprite.size)
    start = np.round((1 - share) * at * size)
    left, top, right, bottom = (int(x) for x in (*start, *(start + share * size)))
    fragment = sprite.crop((left, top, right, bottom))
    oval = Image.new("L", fragment.size)
    ImageDraw.Draw(oval).ellipse((0, 0, fragment.width - 1, fragment.height - 1), fill=255)
    fragment.putalpha(ImageChops.multiply(fragment.getchannel("A"), oval))
    return fragment


def _shape(rng: np.random.Generator) -> Image.Image:
    """Cut a hill, a stone or a board out of a landscape."""
    window = _window(rng, 0.15, 0.5).resize((96, 96))
    mask = Image.new("L", (96, 96))
    drawing = ImageDraw.Draw(mask)
    kind = int(rng.integers(3))
    if kind == 0:
        drawing.ellipse((2, 2, 93, int(rng.integers(50, 94))), fill=255)
    elif kind == 1:
        drawing.rounded_rectangle((2, 2, int(rng.integers(30, 94)), 93), radius=14, fill=255)
    else:
        ridge = [(x, int(rng.integers(2, 60))) for x in (2, 48, 93)]
        drawing.polygon([*ridge, (80, 93), (12, 93)], fill=255)
    window.putalpha(mask)
    return window.crop(window.getbbox())


def _window(rng: np.random.Generator, low: float, high: float) -> Image.Image:
    """Cut a square out of a landscape, its side a share of the landscape's."""
    landscapes = _pictures("landscape_*.jpg")
    landscape = landscapes[int(rng.integers(len(landscapes)))]
    side = int(rng.uniform(low, high) * landscape.width)
    left, top = (int(x) for x in rng.integers(0, landscape.width - side + 1, 2))
    return landscape.crop((left, top, left + side, top + side))


def _background(rng: np.random.Generator) -> Image.Image:
    window = _window(rng, 0.45, 1.0)
    if rng.random() < 0.5:
        window = ImageOps.mirror(window)
    return window.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _place(rng: np.random.Generator, pieces: Sequence[_Piece]) -> tuple[list[_Placed], list[Box]]:
    """Move the pieces, first is backmost, until enough of every character can be seen.

    Raises:
        RuntimeError: if no attempt succeeds; then the constants above contradict each other.
    """
    for _ in range(_PLACEMENTS):
        centers = rng.uniform(*CENTER, (len(pieces), 2)) * SIDE
        placed = [
            _Placed(piece, int(x - piece.picture.width / 2), int(y - piece.picture.height / 2))
            for piece, (x, y) in zip(pieces, centers, strict=True)
        ]
        boxes = _visible_boxes(placed)
        if boxes is not None:
            return placed, boxes
    raise RuntimeError(f"no place found for {len(pieces)} pieces in {_PLACEMENTS} attempts")


def _visible_boxes(placed: Sequence[_Placed]) -> list[Box] | None:
    """Return the box of every character, or None where too little of one can be seen."""
    hidden: Mask = np.zeros((SIDE, SIDE), dtype=bool)
    boxes: list[Box] = []
    for item in reversed(placed):
        mask, whole = _mask(item)
        if item.piece.name is not None:
            visible = mask & ~hidden
            if mask.sum() < MIN_INSIDE * whole or visible.sum() < MIN_VISIBLE * whole:
                return None
            boxes.append(_bounds(item.piece.name, visible))
        hidden |= mask
    return boxes


def _mask(item: _Placed) -> tuple[Mask, int]:
    """Return the pixels a piece covers in the image, and how many it has in all."""
    solid = np.asarray(item.piece.picture.getchannel("A")) > 127
    canvas = Image.new("L", (SIDE, SIDE))
    canvas.paste(item.piece.picture.getchannel("A"), (item.left, item.top))
    return np.asarray(canvas) > 127, int(solid.sum())


def _bounds(name: str, mask: Mask) -> Box:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)).astype(float) for axis in (1, 0))
    return Box(name, columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


def _relight(rng: np.random.Generator, scene: Image.Image) -> Image.Image:
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        scene = enhancer(scene).enhance(rng.uniform(1 - LIGHT_JITTER, 1 + LIGHT_JITTER))
    return scene
