"""How good the detector is, beyond its mAP: what it gets right, wrong and mixed up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from boxloop.data.dataset import Dataset
from boxloop.report.pictures import VERDICTS, Outlines, Shower, Shown, hand_checked
from boxloop.report.summary import RoundFacts

CHECKED_EXAMPLES = 48
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
    rows = []
    for i, (name, counts) in enumerate(zip(matrix["names"], matrix["counts"], strict=True)):
        total = max(1, sum(counts))
        rows.append((name, [Cell(n, n / total, i == j) for j, n in enumerate(counts)]))
    return rows
