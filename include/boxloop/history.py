"""What was said about one image, round by round: by the oracle, by people, and what came of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.data.dataset import XYXY, from_parquet
from boxloop.data.matching import ImageIndex
from boxloop.oracle.answers import Decision
from boxloop.oracle.growth import verdicts
from boxloop.review import read_decisions

_NEAR = 3  # names to suggest


def image_history(run_uri: str, name: str) -> list[str]:
    """Return the history of an image as lines of text.

    Args:
        run_uri: the run's folder, or gs://.
        name: the image's id, its path below the data folder; its last part will do where no
            other image is called so.

    Raises:
        ValueError: if there is no such run or image, with the names of images that come near.
    """
    run = Run(run_uri.rstrip("/"))
    if not storage.exists(f"{run.dataset(1)}/images.parquet"):
        raise ValueError(f"{run.uri} holds no run with a dataset: {run.dataset(1)} is missing")
    images = _read(f"{run.dataset(1)}/images.parquet")
    image_id = _find(name, images["image_id"], run)
    image = images[images["image_id"] == image_id].iloc[0]
    label = "no label" if pd.isna(image["image_label"]) else f"label {image['image_label']}"
    head = f"{image_id}: {image['width']} x {image['height']} pixels, {label}, {image['split']}"
    return [head, *_versions(run, image_id)]


def _versions(run: Run, image_id: str) -> Iterator[str]:
    """Give what each dataset version holds, and between two what was said in the round."""
    number = 1
    while storage.exists(f"{run.dataset(number)}/boxes.parquet"):
        boxes = _of_image(f"{run.dataset(number)}/boxes.parquet", image_id)
        yield f"dataset {number}: {_count(len(boxes))}"
        yield from (f"    {_box_text(row)}" for row in boxes.to_dict("records"))
        yield from _round(run, number, image_id)
        number += 1


def _round(run: Run, number: int, image_id: str) -> Iterator[str]:
    said = [*_verdict_lines(run, number, image_id), *_decision_lines(run, number, image_id)]
    if said:
        yield f"round {number}:"
        yield from (f"    {line}" for line in said)


def _verdict_lines(run: Run, number: int, image_id: str) -> Iterator[str]:
    if not storage.exists(run.adoptions(number)):
        return
    rows = _of_image(run.adoptions(number), image_id)
    rows = rows.assign(verdict=verdicts(rows))
    for row in rows.to_dict("records"):
        p_right = row.get("p_right", float("nan"))
        sure = "" if _is_null(p_right) else f", right with {100 * float(p_right):.0f} %"
        yield f"{row['verdict']}: {_detection_text(row)}{sure}: {row['reason']}"


def _decision_lines(run: Run, number: int, image_id: str) -> Iterator[str]:
    """Give what people decided, in the order of their decisions."""
    if not storage.exists(run.queue(number)):
        return
    decisions, set_aside = read_decisions(run, number)
    yield from (_decision_text(one) for one in decisions if one.image_id == image_id)
    if set_aside:
        yield f"(files of any image that hold no decision: {len(set_aside)})"


def _decision_text(decision: Decision) -> str:
    boxes = "".join(f" {_detection_text(box._asdict())}" for box in decision.boxes)
    return (
        f"{decision.author}: {decision.action}{boxes}, after {decision.seconds:.1f} s, "
        f"{decision.decided_at}"
    )


def _box_text(row: Mapping[Any, Any]) -> str:
    """Say what a box is and where it comes from; older versions lack some of the columns."""
    source = [f"round {row['round']}" if row["round"] else "with the data"]
    source += [f"{name} {row[name]}" for name in ("author", "model") if not _is_null(row.get(name))]
    source += [str(row["mode"])] if not _is_null(row.get("mode")) else []
    reason = "" if _is_null(row.get("reason")) else f": {row['reason']}"
    return f"{row['origin']}: {_detection_text(row)} ({', '.join(source)}){reason}"


def _detection_text(row: Mapping[Any, Any]) -> str:
    if _is_null(row["class_name"]):
        return "nothing detected"
    score = row.get("score")
    corners = ", ".join(f"{row[edge]:.0f}" for edge in XYXY)
    return f"{row['class_name']}{'' if _is_null(score) else f' {score:.2f}'} [{corners}]"


def _count(num_boxes: int) -> str:
    return {0: "no box", 1: "1 box"}.get(num_boxes, f"{num_boxes} boxes")


def _is_null(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def _of_image(uri: str, image_id: str) -> pd.DataFrame:
    table = _read(uri)
    return table[table["image_id"] == image_id]


def _read(uri: str) -> pd.DataFrame:
    return from_parquet(storage.read_bytes(uri))


def _find(name: str, image_ids: pd.Series, run: Run) -> str:
    known = [str(image_id) for image_id in image_ids]
    if name in set(known):
        return name
    found = ImageIndex(known).by_claim(name).image_ids
    if len(found) == 1:
        return found[0]
    near = list(found) or difflib.get_close_matches(name, known, _NEAR, cutoff=0.5)
    near = near or [known[0]] if known else []
    listed = ", ".join(near[:_NEAR])
    if found:
        raise ValueError(f"{name}: {len(found)} images of {run.uri} are called so: {listed}")
    raise ValueError(f"{name} is no image of {run.uri}; its images are called {listed or '-'}")
