"""Write the TensorBoard events of an evaluation: the part of them that touches storage."""

from __future__ import annotations

from PIL import Image

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.data.dataset import Dataset, read_dataset
from boxloop.experiment import read_experiment
from boxloop.report.event_pictures import Artist
from boxloop.report.events import build_events, effect_scalars, evaluation_scalars, turn_scalars
from boxloop.report.load import read_losses, read_table
from boxloop.report.pictures import Outlines, turned
from boxloop.report.rounds_section import adoption_effects


def write_evaluation_events(run_uri: str, round_number: int) -> str:
    """Write a round's evaluation for TensorBoard, with those before it as one curve.

    A round is at step `round_number * train.total_steps`. Everything is read from what `train` and
    `evaluate` left, up to this round; what an older round lacks is left out.

    Returns:
        Where the events are.

    Raises:
        FileNotFoundError: if one of the rounds has no evaluation.json.
    """
    run = Run(run_uri.rstrip("/"))
    steps = read_experiment(run.experiment).train.total_steps
    scalars = []
    for number in range(1, round_number + 1):
        begin = (number - 1) * steps
        scalars += [(begin + round(s), {"loss": loss}) for s, loss in read_losses(run, number)]
        scalars.append((begin + steps, _figures(run, number)))
    content = build_events(
        scalars, _pictures(run, round_number), wall_time=_trained_at(run, round_number)
    )
    uri = run.evaluation_events(round_number)
    storage.write_bytes(uri, content)
    return uri


def _figures(run: Run, number: int) -> dict[str, float]:
    evaluation = storage.read_json(run.evaluation(number))
    found = evaluation_scalars(evaluation)
    if number == 1:
        return found
    before = storage.read_json(run.evaluation(number - 1))
    adoptions = read_table(run.adoptions(number - 1))
    if adoptions is not None:
        found |= effect_scalars(adoption_effects(adoptions, before, evaluation))
    if storage.exists(run.evaluated_images(number)):
        found |= turn_scalars(*_turned(run, number))
    return found


def _turned(run: Run, number: int) -> tuple[list[str], list[str]]:
    return turned(*(read_table(run.evaluated_images(n)) for n in (number - 1, number)))


def _pictures(run: Run, number: int) -> dict[str, Image.Image]:
    dataset = read_dataset(run.dataset(number))
    outlines = _outlines(run, number, dataset)
    if outlines is None:
        return {}
    artist = Artist(dataset, storage.read_bytes)
    sheets = artist.hand_check(storage.read_json(run.evaluation(number)), outlines)
    if number == 1:
        return sheets
    both = {f"round {n}": _outlines(run, n, dataset) for n in (number - 1, number)}
    return sheets | artist.lost(_turned(run, number)[1], both)


def _outlines(run: Run, number: int, dataset: Dataset) -> Outlines | None:
    evaluation = storage.read_json(run.evaluation(number))
    return Outlines.of(evaluation, read_table(run.evaluated_detections(number)), dataset)


def _trained_at(run: Run, number: int) -> float:
    """Return when the training ended, which stays the same if the evaluation is done again."""
    uri = run.timing(number, "train")
    timing = storage.read_json(uri) if storage.exists(uri) else {"started": 0.0, "seconds": 0.0}
    return float(timing["started"] + timing["seconds"])
