"""What a round asks people, as its review queue has it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import pandas as pd

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.data.dataset import ADOPTED, XYXY, from_parquet, is_in, read_dataset
from boxloop.data.formats.annotation import Box
from boxloop.oracle.answers import Questions


@dataclass(frozen=True)
class Review:
    """What a round asks."""

    round_number: int
    queue: pd.DataFrame
    """QUEUE_COLUMNS, in the order that people get it."""
    images: pd.DataFrame
    """The rows of the images in the queue, with IMAGE_COLUMNS."""
    class_names: list[str]
    """In the order of the label map."""
    standing: Mapping[str, Sequence[Box]]
    """image_id -> the boxes that the oracle has adopted."""
    digest: str
    """sha256 of the queue's file."""

    @cached_property
    def questions(self) -> Questions:
        """What `parse_answer` holds an answer against."""
        asked = self.queue, self.images, self.class_names, self.round_number
        return Questions.of(*asked, self.standing)


def read_review(run: Run, round_number: int) -> Review:
    """Return what a round asks.

    Raises:
        ValueError: if it has no review queue.
    """
    try:
        data = storage.read_bytes(run.queue(round_number))
    except FileNotFoundError as error:
        problem = f"{run.uri}: round {round_number} has no review queue: nobody is asked"
        raise ValueError(problem) from error
    return _review(run, round_number, data)


@lru_cache(maxsize=4)
def _review(run: Run, round_number: int, data: bytes) -> Review:
    """Return a review; kept, since a page asks for it again with every decision."""
    queue = from_parquet(data)
    dataset = read_dataset(run.dataset(round_number))
    images = dataset.images[is_in(dataset.images["image_id"], queue["image_id"])]
    return Review(
        round_number,
        queue,
        images.reset_index(drop=True),
        dataset.class_names,
        _standing(run, round_number),
        hashlib.sha256(data).hexdigest(),
    )


def _standing(run: Run, round_number: int) -> dict[str, list[Box]]:
    """Return image_id -> boxes that the oracle has adopted; they are written before the queue."""
    try:
        proposed = from_parquet(storage.read_bytes(run.proposed_boxes(round_number)))
    except FileNotFoundError:
        return {}
    found: dict[str, list[Box]] = {}
    adopted = proposed.loc[proposed["origin"] == ADOPTED, ["image_id", "class_name", *XYXY]]
    for image_id, name, *edges in adopted.itertuples(index=False):
        found.setdefault(image_id, []).append(Box(name, *edges))
    return found
