"""Charts as SVG text, drawn by hand: no script, no font, no file from elsewhere.

Colours are CSS variables with a fallback, so that a page can set them for light and dark. The
fallbacks are the colour-blind-safe palette of Okabe and Ito, "Color Universal Design", 2008.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

COLORS = (
    "var(--series-1, #0072b2)",
    "var(--series-2, #e69f00)",
    "var(--series-3, #009e73)",
    "var(--series-4, #999999)",
)
_WIDTH, _HEIGHT = 380.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 8.0, 40.0, 40.0  # margins that the labels need
_SMALL_WIDTH, _SMALL_HEIGHT, _SMALL_MARGIN = 180.0, 116.0, 16.0
_LABEL_WIDTH, _TICK_WIDTH = 46.0, 20.0  # room for one label without touching the next


def line_chart(values: Sequence[float], *, title: str) -> str:
    """Return shares in [0, 1] by round as a line with dots and values."""
    points = [(_slot_middle(i, len(values)), _y(value, 1.0)) for i, value in enumerate(values)]
    labels = [
        _text(x, y - 10, f"{values[i]:.2f}", "middle")
        for i, (x, y) in enumerate(points)
        if _has_label(i, len(values), _LABEL_WIDTH)
    ]
    listed = ", ".join(f"round {i + 1}: {value:.3f}" for i, value in enumerate(values))
    body = [_axes(len(values), 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1]), *_line(points), *labels]
    return _svg(_WIDTH, _HEIGHT, title, listed, body)


def small_line_chart(
    values: Sequence[float | None], reference: Sequence[float], *, title: str
) -> str:
    """Return one of many small charts: shares in [0, 1] by round, over a pale reference line.

    Args:
        values: one per round; None leaves its place empty.
        reference: the same for what all charts are held against.
        title: what is shown, read out by screen readers.
    """
    places = [_small_point(i, len(values), v) for i, v in enumerate(values) if v is not None]
    known = [value for value in values if value is not None]
    pale = [_small_point(i, len(reference), value) for i, value in enumerate(reference)]
    body = [_small_frame(), _polyline(pale, "currentColor", 'opacity="0.35" stroke-width="1.5"')]
    if known:
        body += _line(places)
        body += [_end_label(places, known, end, pale) for end in sorted({0, len(known) - 1})]
    listed = ", ".join("none" if v is None else f"{v:.3f}" for v in values)
    return _svg(_SMALL_WIDTH, _SMALL_HEIGHT, title, f"By round: {listed}", body)


def stacked_bars(layers: Mapping[str, Sequence[float]], *, title: str) -> str:
    """Return one bar per round, its layers stacked from the bottom, with a legend and totals.

    Raises:
        ValueError: if there are more layers than colours.
    """
    if len(layers) > len(COLORS):
        raise ValueError(f"a chart has {len(COLORS)} colours, got {len(layers)} layers")
    totals = [sum(values) for values in zip(*layers.values(), strict=True)]
    top, ticks = _scale(max(totals, default=0.0))
    body = [_axes(len(totals), top, ticks), _legend(list(layers))]
    for i, total in enumerate(totals):
        body.append(_bar(i, len(totals), [values[i] for values in layers.values()], top))
        if _has_label(i, len(totals), _LABEL_WIDTH):
            middle = _slot_middle(i, len(totals))
            body.append(_text(middle, _y(total, top) - 5, _number(total), "middle"))
    listed = ", ".join(f"round {i + 1}: {_number(total)}" for i, total in enumerate(totals))
    return _svg(_WIDTH, _HEIGHT, title, f"Totals: {listed}", body)


def _svg(width: float, height: float, title: str, desc: str, body: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:g} {height:g}" '
        f'font-family="system-ui, sans-serif" font-size="12" aria-label="{_attribute(title)}">'
        f"<title>{escape(title)}</title><desc>{escape(desc)}</desc>{''.join(body)}</svg>"
    )


def _attribute(text: str) -> str:
    return escape(text, {'"': "&quot;"})


def _text(x: float, y: float, text: str, anchor: str, extra: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor" {extra}>'
        f"{escape(text)}</text>"
    )


def _axes(num_rounds: int, top: float, ticks: Sequence[float]) -> str:
    parts = []
    for tick in ticks:
        y = _y(tick, top)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="currentColor" opacity="{0.5 if tick == 0 else 0.13}"/>'
        )
        parts.append(_text(_LEFT - 8, y + 4, _number(tick), "end", 'opacity="0.7"'))
    for i in range(num_rounds):
        if _has_label(i, num_rounds, _TICK_WIDTH):
            x = _slot_middle(i, num_rounds)
            parts.append(_text(x, _HEIGHT - _BOTTOM + 17, str(i + 1), "middle", 'opacity="0.7"'))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(_text(middle, _HEIGHT - 6, "round", "middle", 'opacity="0.7"'))
    return "".join(parts)


def _legend(names: Sequence[str]) -> str:
    parts, x = [], 4.0
    for name, color in zip(names, COLORS, strict=False):
        parts.append(f'<rect x="{x:.1f}" y="4" width="10" height="10" rx="2" fill="{color}"/>')
        parts.append(_text(x + 15, 13, name, "start"))
        x += 27 + 6.6 * len(name)
    return "".join(parts)


def _bar(index: int, num_rounds: int, values: Sequence[float], top: float) -> str:
    width = 0.64 * (_WIDTH - _LEFT - _RIGHT) / num_rounds
    left, base, parts = _slot_middle(index, num_rounds) - width / 2, 0.0, []
    for value, color in zip(values, COLORS, strict=False):
        y, height = _y(base + value, top), _y(base, top) - _y(base + value, top)
        parts.append(
            f'<rect x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'fill="{color}"/>'
        )
        base += value
    return "".join(parts)


def _line(points: Sequence[tuple[float, float]]) -> list[str]:
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{COLORS[0]}"/>' for x, y in points]
    return [_polyline(points, COLORS[0], 'stroke-width="2.2"'), *dots]


def _polyline(points: Sequence[tuple[float, float]], color: str, extra: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{color}" {extra}/>'


def _small_frame() -> str:
    return "".join(
        f'<line x1="0" x2="{_SMALL_WIDTH:g}" y1="{y:g}" y2="{y:g}" stroke="currentColor" '
        f'opacity="{opacity}"/>'
        for y, opacity in ((_SMALL_HEIGHT - _SMALL_MARGIN, 0.4), (_SMALL_MARGIN, 0.13))
    )


def _small_point(index: int, num_rounds: int, value: float) -> tuple[float, float]:
    inner_width, inner_height = _SMALL_WIDTH - 32, _SMALL_HEIGHT - 2 * _SMALL_MARGIN
    share = index / (num_rounds - 1) if num_rounds > 1 else 0.5
    return 16 + share * inner_width, _SMALL_HEIGHT - _SMALL_MARGIN - value * inner_height


def _end_label(
    places: Sequence[tuple[float, float]],
    values: Sequence[float],
    end: int,
    pale: Sequence[tuple[float, float]],
) -> str:
    """Write a value at an end of the line, on the side that the pale line leaves free."""
    (x, y), is_last = places[end], end > 0
    is_low = any(x == pale_x and y > pale_y for pale_x, pale_y in pale)
    is_below = y < 22 or (is_low and y < _SMALL_HEIGHT - 30)
    anchor, shift = ("end", 12) if is_last else ("start", -12)
    return _text(x + shift, y + 17 if is_below else y - 8, f"{values[end]:.2f}", anchor)


def _slot_middle(index: int, num_rounds: int) -> float:
    return _LEFT + (index + 0.5) * (_WIDTH - _LEFT - _RIGHT) / num_rounds


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / top


def _has_label(index: int, num_rounds: int, width: float) -> bool:
    """Whether a round is labelled: counted from the last, as many as there is room for."""
    step = math.ceil(width * num_rounds / (_WIDTH - _LEFT - _RIGHT))
    return (num_rounds - 1 - index) % step == 0


def _scale(largest: float) -> tuple[float, list[float]]:
    """Return a round number that leaves room above the largest value, and the ticks below it."""
    if largest <= 0:
        return 1.0, [0.0]
    rough = largest * 1.08 / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough)
    return largest * 1.08, [i * step for i in range(5) if i * step <= largest * 1.08]


def _number(value: float) -> str:
    if value == 0 or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}".removesuffix(".0") if value >= 1 else f"{value:.2g}"
