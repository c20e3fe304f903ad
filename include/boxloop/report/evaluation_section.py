"""How good the detector is, beyond its mAP: what it gets right, wrong and mixed up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from boxloop.data.dataset import Dataset
from boxloop.report.pictures import VERDICTS, Outlines, Shower, Shown, hand_checked
from boxloop.report.summary import RoundFacts

CHECKED_EXAMPLES = 48
MIXED_UP_CLASSES = 24  # of more classes the page would be a wall of zeros
ERROR_KINDS = {
    "classification": "in the right place, of the wrong class",
    "localisation": "of the right class, but the box is off (IoU of 0.1 to 0.5)",
    "both": "of the wrong class, and the box is off",
    "duplicate": "on an object that a better detection has already found",
    "background": "where there is no object",
    "missed": "objects that nothing was found for",
}
COCO_FIGURES = {
    "map": "0.5 to 0.95",
    "map50_coco": "0.5",
    "map75": "0.75",
    "map_small": "small",
    "map_medium": "medium",
    "map_large": "large",
}


class Cell(NamedTuple):
    """One count of the confusion matrix."""

    number: int
    share: float
    """Of its row, in [0, 1]."""
    is_right: bool


class Checked(NamedTuple):
    """An image of the hand check."""

    class_name: str
    letter: str
    shown: Shown


@dataclass(frozen=True, kw_only=True)
class EvaluationFacts:
    """What the section on the evaluation shows."""

    by_round: Sequence[tuple[int, Mapping[str, Any]]]
    """Number and evaluation of every round that has all figures."""
    class_rows: Sequence[tuple[str, Mapping[str, Any]]]
    """Class and its figures at the operating threshold, last round."""
    confusion: Sequence[tuple[str, Sequence[Cell]]]
    """Of the classes that are mixed up most, and background."""
    checked: Sequence[Checked]

    @property
    def last(self) -> Mapping[str, Any]:
        """The evaluation of the last round."""
        return self.by_round[-1][1]

    @property
    def check_rows(self) -> list[tuple[str, list[int]]]:
        """Class with T, F and N of the hand check; their sums last."""
        rows = self.last["hand_check"]["rows"]
        table = [(name, [counts[verdict] for verdict in VERDICTS]) for name, counts in rows.items()]
        sums = [sum(column) for column in zip(*(counts for _, counts in table), strict=True)]
        return [*table, ("all", sums)]


def build_evaluation_facts(
    rounds: Sequence[RoundFacts], dataset: Dataset, shower: Shower
) -> EvaluationFacts | None:
    """Return what the section shows, or None where the last round was evaluated without it.

    Args:
        rounds: the finished rounds.
        dataset: has the true boxes.
        shower: makes images ready; only those shown are read.
    """
    last = rounds[-1].evaluation
    if "operating" not in last:
        return None
    outlines = Outlines.of(last, rounds[-1].evaluated_detections, dataset)
    return EvaluationFacts(
        by_round=[(f.round_number, f.evaluation) for f in rounds if "operating" in f.evaluation],
        class_rows=list(last["operating"]["per_class"].items()),
        confusion=_confusion(last["confusion"]),
        checked=[
            Checked(
                row["class_name"],
                VERDICTS[row["verdict"]],
                shower.show(row["image_id"], outlines),
            )
            for row in hand_checked(last["hand_check"]["images"], CHECKED_EXAMPLES).to_dict(
                "records"
            )
        ],
    )


def _confusion(matrix: Mapping[str, Any]) -> list[tuple[str, list[Cell]]]:
    """Return name and cells of each class to be shown; shares are of whole rows."""
    names, totals = matrix["names"], Counter[int]()
    counts = {(row, column): number for row, column, number in matrix["cells"]}
    for (row, _), number in counts.items():
        totals[row] += number
    shown = [*_most_mixed_up(counts, len(names) - 1), len(names) - 1]
    return [
        (names[i], [_cell(counts.get((i, j), 0), totals[i], i == j) for j in shown]) for i in shown
    ]


def _cell(number: int, total: int, is_right: bool) -> Cell:
    return Cell(number, number / max(1, total), is_right)


def _most_mixed_up(counts: Mapping[tuple[int, int], int], num_classes: int) -> list[int]:
    """Return the numbers of the classes taken most for others and others for them, in order.

    Of equal ones, those that are missed or made up more often.
    """
    mixed, lost = Counter[int](), Counter[int]()
    for (row, column), number in counts.items():
        if row != column:
            tally = lost if num_classes in (row, column) else mixed
            tally.update({row: number, column: number})
    ranked = sorted(range(num_classes), key=lambda number: (-mixed[number], -lost[number], number))
    return sorted(ranked[:MIXED_UP_CLASSES])
