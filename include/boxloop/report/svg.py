"""What charts are drawn with: one frame with room for its labels, in coordinates of an SVG file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

COLORS = (
    "var(--series-1, #0072b2)",
    "var(--series-2, #e69f00)",
    "var(--series-3, #009e73)",
    "var(--series-4, #999999)",
)
"""For a page to set, light and dark; else the palette of Okabe and Ito, "Color Universal Design",
2008, which colour-blind people can tell apart."""
WIDTH, HEIGHT = 380.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 8.0, 40.0, 40.0  # margins that the labels need
LABEL_WIDTH, TICK_WIDTH = 46.0, 20.0  # room for one label without touching the next

Point = tuple[float, float]


def picture(
    body: Sequence[str], *, title: str, desc: str, width: float = WIDTH, height: float = HEIGHT
) -> str:
    """Return a picture; `title` and `desc` are read out by screen readers."""
    quoted = escape(title, {'"': "&quot;"})
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:g} {height:g}" '
        f'font-family="system-ui, sans-serif" font-size="12" aria-label="{quoted}">'
        f"<title>{escape(title)}</title><desc>{escape(desc)}</desc>{''.join(body)}</svg>"
    )


def text(x: float, y: float, label: str, anchor: str, extra: str = "") -> str:
    """Return a label; `anchor` is start, middle or end."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor" {extra}>'
        f"{escape(label)}</text>"
    )


def polyline(points: Sequence[Point], color: str, extra: str) -> str:
    """Return a line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{color}" {extra}/>'


def vertical(x: float, top: float, bottom: float, extra: str) -> str:
    """Return a line from top to bottom."""
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" {extra}/>'


def axes(num_rounds: int, top: float, ticks: Sequence[float]) -> str:
    """Return lines and labels for values from 0 to `top`, and the numbers of the rounds."""
    parts = []
    for tick in ticks:
        y = y_of(tick, top)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="currentColor" opacity="{0.5 if tick == 0 else 0.13}"/>'
        )
        parts.append(text(LEFT - 8, y + 4, number_text(tick), "end", 'opacity="0.7"'))
    for i in range(num_rounds):
        if has_label(i, num_rounds, TICK_WIDTH):
            x = x_of(i + 0.5, num_rounds)
            parts.append(text(x, HEIGHT - BOTTOM + 17, str(i + 1), "middle", 'opacity="0.7"'))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(text(middle, HEIGHT - 6, "round", "middle", 'opacity="0.7"'))
    return "".join(parts)


def legend(names: Sequence[str]) -> str:
    """Return names with their colours, above the chart."""
    parts, x = [], 4.0
    for name, color in zip(names, COLORS, strict=False):
        parts.append(f'<rect x="{x:.1f}" y="4" width="10" height="10" rx="2" fill="{color}"/>')
        parts.append(text(x + 15, 13, name, "start"))
        x += 27 + 6.6 * len(name)
    return "".join(parts)


def x_of(rounds: float, num_rounds: int) -> float:
    """Return where so many rounds are over: the middle of the first is at 0.5."""
    return LEFT + rounds * (WIDTH - LEFT - RIGHT) / num_rounds


def y_of(value: float, top: float) -> float:
    """Return where a value is, `top` being the largest there is room for."""
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top


def has_label(index: int, num_rounds: int, width: float) -> bool:
    """Whether a round is labelled: counted from the last, as many as there is room for."""
    step = math.ceil(width * num_rounds / (WIDTH - LEFT - RIGHT))
    return (num_rounds - 1 - index) % step == 0


def scale(largest: float) -> tuple[float, list[float]]:
    """Return a number that leaves room above the largest value, and round ticks below it."""
    if largest <= 0:
        return 1.0, [0.0]
    rough = largest * 1.08 / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough)
    return largest * 1.08, [i * step for i in range(5) if i * step <= largest * 1.08]


def number_text(value: float) -> str:
    """Return a number in as few digits as an axis needs."""
    if value == 0 or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}".removesuffix(".0") if value >= 1 else f"{value:.2g}"
