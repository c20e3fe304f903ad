"""What changed from round to round: by class, and image by image."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from boxloop.data.dataset import Dataset
from boxloop.report.pictures import Outlines, Shower, Shown, turned
from boxloop.report.summary import RoundFacts

LOST_EXAMPLES = 6


class Effect(NamedTuple):
    """What a round's new boxes went with, for one class."""

    adopted: int
    """Boxes of the class adopted in the round before."""
    change: float | None
    """Of AP@0.5; None where a round has no AP of the class."""


class Turns(NamedTuple):
    """Test images of a round: all right means every object found and nothing else."""

    round_number: int
    num_images: int
    num_right: int
    won: Sequence[str]
    lost: Sequence[str]


class Lost(NamedTuple):
    """An image that a round got wrong and the one before right."""

    round_number: int
    before: Shown
    after: Shown


def adoption_effects(
    rounds: Sequence[RoundFacts], names: Sequence[str]
) -> list[tuple[str, list[Effect]]]:
    """Return, for each class, one effect for every round from the second on."""
    counts = [adopted_boxes(facts) for facts in rounds]
    return [
        (
            name,
            [
                Effect(counts[i].get(name, 0), ap_change(rounds[i], rounds[i + 1], name))
                for i in range(len(rounds) - 1)
            ],
        )
        for name in names
    ]


def adopted_boxes(facts: RoundFacts) -> dict[str, int]:
    """Return how many boxes of each class a round adopted."""
    adopted = facts.adoptions[facts.adoptions["is_adopted"].astype(bool)]
    return {str(name): int(count) for name, count in adopted["class_name"].value_counts().items()}


def ap_change(before: RoundFacts, after: RoundFacts, name: str) -> float | None:
    """Return how much the AP@0.5 of a class changed, None where a round has none."""
    values = [facts.summary["ap50_per_class"].get(name) for facts in (before, after)]
    return None if None in values else values[1] - values[0]


def turns_by_round(rounds: Sequence[RoundFacts]) -> list[Turns]:
    """Return what became of the test images in every round that says so."""
    tables = [(facts.round_number, facts.evaluated_images) for facts in rounds]
    turns = []
    for (_, before), (number, after) in itertools.pairwise([(0, None), *tables]):
        if after is not None:
            won, lost = turned(before, after)
            turns.append(Turns(number, len(after), int(after["is_right"].sum()), won, lost))
    return turns


def lost_examples(
    rounds: Sequence[RoundFacts], turns: Sequence[Turns], dataset: Dataset, shower: Shower
) -> list[Lost]:
    """Show images that got lost, those of the latest rounds first, as they were and are."""
    lost = [(turn.round_number, name) for turn in reversed(turns) for name in turn.lost]
    chosen = lost[:LOST_EXAMPLES]
    numbers = {number - step for number, _ in chosen for step in (0, 1)}
    outlines = {
        facts.round_number: Outlines.of(facts, dataset)
        for facts in rounds
        if facts.round_number in numbers
    }
    return [
        Lost(number, *(shower.show(name, outlines[number - step]) for step in (1, 0)))
        for number, name in chosen
    ]
