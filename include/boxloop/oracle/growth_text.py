"""The growth table as text, for logs and terminals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WIDTH = 100  # columns
_ROUNDS = 7  # as many as the study had; of more, the first and the last ones
_NAME_WIDTH = 10  # at least
_HEADS = (("in-", "crease"), ("with-", "drawn"), ("re-", "viewed"), ("pre-", "cision"))

Summaries = Sequence[Mapping[str, Any]]


def growth_text(summaries: Summaries) -> str:
    """Return the boxes of each class by round as a table, 100 columns wide at the most.

    Args:
        summaries: summary.json of the finished rounds, from round 1; rounds of an older version
            of Boxloop, without growth, are left out.

    Returns:
        One line a class and one for all: boxes before the first round, after each round, the
        increase, what was withdrawn in all rounds, what people gave, and the precision of the
        adopted boxes that stand, where true boxes are known. Nothing where no round has grown.
    """
    grown = [summary for summary in summaries if summary.get("growth")]
    if not grown:
        return ""
    by_class = {row["class_name"]: _class_cells(grown, i) for i, row in enumerate(_last(grown))}
    totals = [_total(column) for column in zip(*by_class.values(), strict=True)]
    rows = [*by_class.items(), ("all", [*totals[:-1], None])]
    cells = [(name, [_text(value) for value in values]) for name, values in rows]
    return _layout(_heads(grown), cells)


def _last(grown: Summaries) -> list[Mapping[str, Any]]:
    return list(grown[-1]["growth"])


def _shown(grown: Summaries) -> list[Mapping[str, Any]]:
    """Return the rounds that have a column."""
    return list(grown) if len(grown) <= _ROUNDS else [grown[0], *grown[1 - _ROUNDS :]]


def _class_cells(grown: Summaries, index: int) -> list[float | None]:
    """Return the figures of a class; classes have the same place in every round."""
    first, last = grown[0]["growth"][index], grown[-1]["growth"][index]
    start = first["total"] - first["added"] + first["withdrawn"]
    totals = [summary["growth"][index]["total"] for summary in _shown(grown)]
    withdrawn = sum(summary["growth"][index]["withdrawn"] for summary in grown)
    return [
        start,
        *totals,
        last["total"] - start,
        withdrawn,
        last["reviewed"],
        last["precision"],
    ]


def _total(column: Sequence[float | None]) -> float | None:
    known = [value for value in column if value is not None]
    return sum(known) if known else None


def _text(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _heads(grown: Summaries) -> list[tuple[str, str]]:
    numbers = [str(summary["round"]) for summary in _shown(grown)]
    first = ("round", numbers[0])
    return [("", "start"), first, *(("", number) for number in numbers[1:]), *_HEADS]


def _layout(heads: Sequence[tuple[str, str]], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    columns = zip(*(cells for _, cells in rows), strict=True)
    widths = [max(map(len, [*head, *column])) for head, column in zip(heads, columns, strict=True)]
    longest = max(len("class"), *(len(name) for name, _ in rows))
    name_width = max(_NAME_WIDTH, min(longest, WIDTH - sum(widths) - len(widths)))
    lines = [("", [head[0] for head in heads]), ("class", [head[1] for head in heads]), *rows]
    return "\n".join(
        " ".join(
            [_cut(name, name_width), *(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))]
        )
        for name, cells in lines
    )


def _cut(name: str, width: int) -> str:
    short = name if len(name) <= width else f"{name[: width - 1]}\N{HORIZONTAL ELLIPSIS}"
    return short.ljust(width)
