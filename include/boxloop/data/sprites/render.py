"""Render the demo's characters and landscapes from CC0 vector art; see LICENSE.md.

The pictures lie beside this file, and the product only reads those. This script is kept to show
where they come from, and to draw them anew after a change of the tables below.

Needs, in an environment of its own:
    pip install dicebear-core==10.7.0 dicebear-styles==10.6.0 resvg_py==0.5.0 pillow==13.0.0
Command:
    python include/boxloop/data/sprites/render.py
Time: about 5 seconds. Writes <character>_<pose>.png (transparent) and landscape_<number>.jpg.
"""

import io
import json
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import resvg_py
from dicebear import Avatar, Style
from PIL import Image

FOLDER = Path(__file__).parent
SPRITE_SIDE = 180
LANDSCAPE_SIDE = 320
NUM_LANDSCAPES = 16

TWO_EYES = [
    ("round", "smile"),
    ("happy", "laugh"),
    ("wink", "tongue"),
    ("sleepy", "line"),
    ("angry", "frown"),
    ("wide", "ooh"),
]
ONE_EYE = [
    ("mono", "smile"),
    ("monoSleepy", "laugh"),
    ("mono", "tooth"),
    ("monoSleepy", "line"),
    ("mono", "frown"),
    ("mono", "ooh"),
]
THREE_EYES = [
    ("trio", "smile"),
    ("threeRow", "laugh"),
    ("trio", "blep"),
    ("threeRow", "line"),
    ("trio", "sad"),
    ("threeRow", "open"),
]


class Character(NamedTuple):
    """What stays the same, and the eyes and mouth of every pose."""

    body: str
    color: str
    top: str
    top_color: str
    pattern: str | None
    faces: list[tuple[str, str]]


# pip and tock are alike but for the antennae, bramble and bracken but for ears and horns.
CHARACTERS = {
    "pip": Character("round", "#7dd3fc", "antenna", "#fda4af", None, TWO_EYES),
    "tock": Character("round", "#7dd3fc", "antennae", "#fda4af", None, TWO_EYES),
    "bramble": Character("block", "#6ee7b9", "earsPointy", "#fdba74", None, TWO_EYES),
    "bracken": Character("block", "#6ee7b9", "horns", "#fdba74", None, TWO_EYES),
    "mellow": Character("bell", "#fcd34d", "hornsSmall", "#a5b4fc", "speckles", ONE_EYE),
    "dapple": Character("steps", "#c4b5fd", "sprout", "#bef264", "dots", THREE_EYES),
    "grumble": Character("squat", "#fca5a5", "spikes", "#fcd34d", "stripes", TWO_EYES),
    "wisp": Character("wedge", "#e2e8f0", "fin", "#5eead4", "belly", TWO_EYES),
}


def main() -> None:
    """Write every picture beside this file."""
    critters, landscape = _style("critters"), _style("landscape")
    for name, character in CHARACTERS.items():
        for pose, face in enumerate(character.faces):
            sprite = _render(critters, SPRITE_SIDE, _options(character, *face))
            sprite.crop(sprite.getbbox()).save(FOLDER / f"{name}_{pose}.png", optimize=True)
    for number in range(NUM_LANDSCAPES):
        options = {"seed": f"landscape {number}", "animationVariant": "none"}
        picture = _render(landscape, LANDSCAPE_SIDE, options).convert("RGB")
        picture.save(FOLDER / f"landscape_{number:02d}.jpg", quality=90)


def _style(name: str) -> Style:
    definition = files("dicebear_styles").joinpath(f"{name}.json").read_text("utf-8")
    return Style(json.loads(definition))


def _options(character: Character, eyes: str, mouth: str) -> dict[str, Any]:
    options = {
        "seed": "boxloop",
        "backgroundColor": [],
        "bodyVariant": character.body,
        "bodyColor": [character.color],
        "topVariant": character.top,
        "topProbability": 100,
        "accentColor": [character.top_color],
        "patternProbability": 100 if character.pattern else 0,
        "cheeksProbability": 0,
        "eyesVariant": eyes,
        "mouthVariant": mouth,
        "animationVariant": "none",
    }
    return options | ({"patternVariant": character.pattern} if character.pattern else {})


def _render(style: Style, side: int, options: dict[str, Any]) -> Image.Image:
    svg = Avatar(style, {"size": side, **options}).to_string()
    png = resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


if __name__ == "__main__":
    main()
