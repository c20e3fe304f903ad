"""What changed from round to round: by class, and image by image."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from boxloop.data.dataset import Dataset
from boxloop.report.pictures import Outlines, Shower, Shown, turned
from boxloop.report.summary import RoundFacts, adopted_now

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
    adoptions: pd.DataFrame, before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, Effect]:
    """Return the effect of a round on the next, by class.

    Args:
        adoptions: what the oracle said to each candidate image of the round.
        before: the round's evaluation.
        after: the next round's evaluation.
    """
    adopted = adopted_now(adoptions)["class_name"].value_counts()
    effects = {}
    for name, value in after["ap50_per_class"].items():
        old = before["ap50_per_class"].get(name)
        change = None if value is None or old is None else value - old
        effects[name] = Effect(int(adopted.get(name, 0)), change)
    return effects


def effects_by_class(
    rounds: Sequence[RoundFacts], names: Sequence[str]
) -> list[tuple[str, list[Effect]]]:
    """Return classes, each with one effect for every round from the second on."""
    effects = [
        adoption_effects(before.adoptions, before.evaluation, after.evaluation)
        for before, after in itertools.pairwise(rounds)
    ]
    return [(name, [by_class.get(name, Effect(0, None)) for by_class in effects]) for name in names]


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
        facts.round_number: Outlines.of(facts.evaluation, facts.evaluated_detections, dataset)
        for facts in rounds
        if facts.round_number in numbers
    }
    return [
        Lost(number, *(shower.show(name, outlines[number - step]) for step in (1, 0)))
        for number, name in chosen
    ]
