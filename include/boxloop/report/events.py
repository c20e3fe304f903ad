"""TensorBoard events of evaluations, written without TensorFlow."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from boxloop.data.examples import build_shard
from boxloop.report.evaluation_section import COCO_FIGURES
from boxloop.report.rounds_section import Effect

_VERSION = "brain.Event:2"
_JPEG_QUALITY = 85
_OPERATING = ("threshold", "precision", "recall", "f1")


def build_events(
    scalars: Sequence[tuple[int, Mapping[str, float]]],
    pictures: Mapping[str, Image.Image],
    *,
    wall_time: float,
) -> bytes:
    """Return the content of an event file.

    Args:
        scalars: step and values by tag; steps rise.
        pictures: by tag, shown at the last step.
        wall_time: when it is said to have been, in Unix seconds.
    """
    last = scalars[-1][0] if scalars else 0
    values = [
        (step, Summary.Value(tag=tag, simple_value=value))
        for step, by_tag in scalars
        for tag, value in by_tag.items()
    ]
    values += [
        (last, Summary.Value(tag=tag, image=_image(picture))) for tag, picture in pictures.items()
    ]
    events = [Event(wall_time=wall_time, file_version=_VERSION)]
    for step, value in values:
        events.append(Event(wall_time=wall_time, step=step, summary=Summary(value=[value])))
    return build_shard(event.SerializeToString(deterministic=True) for event in events)


def evaluation_scalars(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of an evaluation by tag, PASCAL VOC's as the 2018 study called them."""
    found: dict[str, Any] = dict(evaluation.get("pascal", {"mAP@0.5": evaluation["map50"]}))
    found |= _ends("mAP@0.5 interval", evaluation.get("map50_interval"))
    found |= {f"COCO AP/{label}": evaluation.get(key) for key, label in COCO_FIGURES.items()}
    operating = evaluation.get("operating", {})
    found |= {f"operating threshold/{name}": operating.get(name) for name in _OPERATING}
    for name, row in operating.get("per_class", {}).items():
        found |= {f"{figure}/{name}": row[figure] for figure in ("precision", "recall", "f1")}
    errors = evaluation.get("errors", {})
    found |= {f"cost of errors/{kind}": error["cost"] for kind, error in errors.items()}
    return {tag: float(value) for tag, value in found.items() if value is not None}


def effect_scalars(effects: Mapping[str, Effect]) -> dict[str, float]:
    """Return what a round's new boxes went with, by tag."""
    found: dict[str, float] = {}
    for name, effect in effects.items():
        found[f"boxes adopted before/{name}"] = effect.adopted
        if effect.change is not None:
            found[f"change of AP@0.5/{name}"] = effect.change
    return found


def turn_scalars(won: Sequence[str], lost: Sequence[str]) -> dict[str, float]:
    """Return how many test images became right and ceased to be so, by tag."""
    return {"test images/won": len(won), "test images/lost": len(lost)}


def _ends(tag: str, interval: Sequence[float] | None) -> dict[str, float]:
    return {f"{tag}/low": interval[0], f"{tag}/high": interval[1]} if interval else {}


def _image(picture: Image.Image) -> Summary.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return Summary.Image(
        width=picture.width,
        height=picture.height,
        colorspace=3,
        encoded_image_string=buffer.getvalue(),
    )
