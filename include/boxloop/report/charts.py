"""Charts as SVG text, drawn by hand: no script, no font, no file from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from boxloop.report import svg
from boxloop.report.svg import COLORS, Point

Interval = Sequence[float]
"""Low and high."""

_SMALL_WIDTH, _SMALL_HEIGHT, _SMALL_MARGIN = 180.0, 116.0, 16.0
_CAP = 4.0  # half the width of the ends of an interval


def line_chart(
    values: Sequence[float | None], *, title: str, intervals: Sequence[Interval | None] = ()
) -> str:
    """Return shares in [0, 1] by round as a line with dots and values.

    Args:
        values: one per round; None leaves its place empty.
        title: what is shown, read out by screen readers.
        intervals: one per round, drawn through its dot; None where there is none.
    """
    num, spans = len(values), list(intervals) or [None] * len(values)
    known = [(i, value, spans[i]) for i, value in enumerate(values) if value is not None]
    points = [(svg.x_of(i + 0.5, num), svg.y_of(value, 1.0)) for i, value, _ in known]
    body = [svg.axes(num, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1])]
    body += [_whisker(x, span) for (x, _), (_, _, span) in zip(points, known, strict=True) if span]
    body += _line(points)
    for (x, y), (i, value, span) in zip(points, known, strict=True):
        if svg.has_label(i, num, svg.LABEL_WIDTH):
            above = min(y - 10, svg.y_of(span[1], 1.0) - 5) if span else y - 10
            body.append(svg.text(x, above, f"{value:.2f}", "middle"))
    listed = ", ".join(f"round {i + 1}: {_read_out(value)}" for i, value in enumerate(values))
    return svg.picture(body, title=title, desc=listed)


def loss_chart(rounds: Sequence[Sequence[Point]], *, title: str) -> str:
    """Return the loss of every round, one after the other.

    Args:
        rounds: steps and losses of each round; empty where they are not known.
        title: what is shown, read out by screen readers.
    """
    known = [point for points in rounds for point in points]
    top, ticks = svg.scale(max((loss for _, loss in known), default=0.0))
    steps = max((step for step, _ in known), default=1.0)
    body = [svg.axes(len(rounds), top, ticks)]
    for i, points in enumerate(rounds):
        if i > 0:
            x = svg.x_of(i, len(rounds))
            body.append(svg.vertical(x, svg.TOP, svg.HEIGHT - svg.BOTTOM, _PALE))
        places = [
            (svg.x_of(i + step / steps, len(rounds)), svg.y_of(loss, top)) for step, loss in points
        ]
        body.append(svg.polyline(places, COLORS[0], 'stroke-width="1.6" stroke-linejoin="round"'))
    listed = ", ".join(
        f"round {i + 1}: {points[0][1]:.3g} to {points[-1][1]:.3g}"
        for i, points in enumerate(rounds)
        if points
    )
    return svg.picture(body, title=title, desc=listed)


def small_line_chart(
    values: Sequence[float | None], reference: Sequence[float | None], *, title: str
) -> str:
    """Return one of many small charts: shares in [0, 1] by round, over a pale reference line.

    Args:
        values: one per round; None leaves its place empty.
        reference: the same for what all charts are held against.
        title: what is shown, read out by screen readers.
    """
    places, pale = _small_points(values), _small_points(reference)
    known = [value for value in values if value is not None]
    body = [_small_frame(), svg.polyline(pale, "currentColor", 'opacity="0.35" stroke-width="1.5"')]
    if known:
        body += _line(places)
        body += [_end_label(places, known, end, pale) for end in sorted({0, len(known) - 1})]
    listed = ", ".join(map(_read_out, values))
    size = {"width": _SMALL_WIDTH, "height": _SMALL_HEIGHT}
    return svg.picture(body, title=title, desc=f"By round: {listed}", **size)


def stacked_bars(layers: Mapping[str, Sequence[float]], *, title: str) -> str:
    """Return one bar per round, its layers stacked from the bottom, with a legend and totals.

    Raises:
        ValueError: if there are more layers than colours.
    """
    if len(layers) > len(COLORS):
        raise ValueError(f"a chart has {len(COLORS)} colours, got {len(layers)} layers")
    totals = [sum(values) for values in zip(*layers.values(), strict=True)]
    top, ticks = svg.scale(max(totals, default=0.0))
    body = [svg.axes(len(totals), top, ticks), svg.legend(list(layers))]
    for i, total in enumerate(totals):
        body.append(_bar(i, len(totals), [values[i] for values in layers.values()], top))
        if svg.has_label(i, len(totals), svg.LABEL_WIDTH):
            x = svg.x_of(i + 0.5, len(totals))
            body.append(svg.text(x, svg.y_of(total, top) - 5, svg.number_text(total), "middle"))
    listed = ", ".join(f"round {i + 1}: {svg.number_text(total)}" for i, total in enumerate(totals))
    return svg.picture(body, title=title, desc=f"Totals: {listed}")


_PALE = 'stroke="currentColor" opacity="0.13"'


def _whisker(x: float, interval: Interval) -> str:
    low, high = (svg.y_of(edge, 1.0) for edge in interval)
    ends = [
        svg.polyline([(x - _CAP, y), (x + _CAP, y)], COLORS[0], 'opacity="0.6"')
        for y in (low, high)
    ]
    return svg.vertical(x, high, low, f'stroke="{COLORS[0]}" opacity="0.6"') + "".join(ends)


def _bar(index: int, num_rounds: int, values: Sequence[float], top: float) -> str:
    width = 0.64 * (svg.WIDTH - svg.LEFT - svg.RIGHT) / num_rounds
    left, base, parts = svg.x_of(index + 0.5, num_rounds) - width / 2, 0.0, []
    for value, color in zip(values, COLORS, strict=False):
        y, height = svg.y_of(base + value, top), svg.y_of(base, top) - svg.y_of(base + value, top)
        parts.append(
            f'<rect x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'fill="{color}"/>'
        )
        base += value
    return "".join(parts)


def _line(points: Sequence[Point]) -> list[str]:
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{COLORS[0]}"/>' for x, y in points]
    return [svg.polyline(points, COLORS[0], 'stroke-width="2.2"'), *dots]


def _small_frame() -> str:
    return "".join(
        f'<line x1="0" x2="{_SMALL_WIDTH:g}" y1="{y:g}" y2="{y:g}" stroke="currentColor" '
        f'opacity="{opacity}"/>'
        for y, opacity in ((_SMALL_HEIGHT - _SMALL_MARGIN, 0.4), (_SMALL_MARGIN, 0.13))
    )


def _read_out(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _small_points(values: Sequence[float | None]) -> list[Point]:
    return [_small_point(i, len(values), v) for i, v in enumerate(values) if v is not None]


def _small_point(index: int, num_rounds: int, value: float) -> Point:
    inner_width, inner_height = _SMALL_WIDTH - 32, _SMALL_HEIGHT - 2 * _SMALL_MARGIN
    share = index / (num_rounds - 1) if num_rounds > 1 else 0.5
    return 16 + share * inner_width, _SMALL_HEIGHT - _SMALL_MARGIN - value * inner_height


def _end_label(
    places: Sequence[Point], values: Sequence[float], end: int, pale: Sequence[Point]
) -> str:
    """Write a value at an end of the line, on the side that the pale line leaves free."""
    (x, y), is_last = places[end], end > 0
    is_low = any(x == pale_x and y > pale_y for pale_x, pale_y in pale)
    is_below = y < 22 or (is_low and y < _SMALL_HEIGHT - 30)
    anchor, shift = ("end", 12) if is_last else ("start", -12)
    return svg.text(x + shift, y + 17 if is_below else y - 8, f"{values[end]:.2f}", anchor)
