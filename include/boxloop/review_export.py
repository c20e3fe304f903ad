"""A review queue as a folder for a labelling tool: images, the proposed boxes, the class names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.cvat import build_cvat
from boxloop.data.formats.label_studio import build_label_studio
from boxloop.data.formats.voc import build_voc
from boxloop.data.images import read_facts, to_png
from boxloop.oracle.answers import SKIP, Question
from boxloop.oracle.decisions import standing
from boxloop.review import Review, is_closed, read_decisions, read_review

if TYPE_CHECKING:
    import pandas as pd

VOC, CVAT, LABEL_STUDIO = FORMATS = ("voc", "cvat", "label_studio")
MANIFEST = "manifest.json"
OUR_FILES = (MANIFEST, "classes.txt", "labels.json", "labels.xml")
IMAGES = "images"
_SERVED = f"/data/local-files/?d={IMAGES}"  # Label Studio's, below its LOCAL_FILES_DOCUMENT_ROOT
_LONGEST = 80  # bytes of a name, of an image and of a label


@dataclass(frozen=True)
class Manifest:
    """What an exported folder holds."""

    round_number: int
    kind: str
    """One of FORMATS."""
    queue_digest: str
    """sha256 of the queue that it was exported from."""
    images: Mapping[str, str]
    """Name of the exported file -> image_id."""
    imported: Mapping[str, str]
    """image_id -> digest of what was imported of it last."""


def export_review(
    run: Run, round_number: int, folder: Path, kind: str, *, with_links: bool = False
) -> tuple[int, dict[str, str]]:
    """Write the images of a queue that nobody has decided about, as a folder for a tool.

    Images keep the order of the queue by their names, which show their labels. One that an Exif
    tag rotates is written without it, as it is stored: that is how its boxes are counted.

    Args:
        run: the run.
        round_number: whose queue it is.
        folder: where to write; there must be nothing in it.
        kind: one of FORMATS.
        with_links: link to local images, and do not copy them.

    Returns:
        The number of images, and image_id -> why it could not be exported.

    Raises:
        ValueError: if the round asks nobody, its review is closed, nothing is left to ask, or
            there is something in the folder.
    """
    review = read_open_review(run, round_number)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already: name another place with --to")
    rows = _undecided(run, review)
    if not len(rows):
        raise ValueError(f"{run.uri}: everything that round {round_number} asks is decided")
    failed: dict[str, str] = {}
    names: dict[str, str] = {}
    for number, row in enumerate(rows.itertuples(index=False), start=1):
        name = _file_name(number, str(row.image_id), row.image_label)
        try:
            names[_write_image(folder, name, str(row.uri), with_links)] = str(row.image_id)
        except (OSError, ValueError) as error:
            failed[str(row.image_id)] = str(error)
    _write_boxes(folder, kind, names, review.questions.images)
    _write_class_names(folder, kind, review.class_names)
    manifest = {"round": round_number, "format": kind, "images": names}
    queue_digest = storage.digest(run.queue(round_number))
    storage.write_json(f"{folder}/{MANIFEST}", {**manifest, "queue": queue_digest})
    return len(names), failed


def read_open_review(run: Run, round_number: int) -> Review:
    """Return what a round asks.

    Raises:
        ValueError: if it asks nobody, or takes no more decisions.
    """
    review = read_review(run, round_number)
    if is_closed(run, round_number):
        raise ValueError(f"{run.uri}: the review of round {round_number} is closed")
    return review


def exported_boxes(question: Question, kind: str) -> tuple[Box, ...]:
    """Return `shown_boxes` as a tool keeps them that is opened and closed.

    labelImg saves whole pixels, CVAT two decimals.
    """
    return tuple(_as_kept(box, question, kind) for box in shown_boxes(question))


def shown_boxes(question: Question) -> tuple[Box, ...]:
    """Return the proposed box, if there is one, and after it the others that stand."""
    return (*filter(None, [question.proposed]), *question.others)


def _as_kept(box: Box, question: Question, kind: str) -> Box:
    if kind == CVAT:
        xmin, ymin, xmax, ymax = (round(edge, 2) for edge in box.xyxy)
    elif kind == VOC:
        xmin, xmax = _whole(box.xmin, box.xmax, question.width)
        ymin, ymax = _whole(box.ymin, box.ymax, question.height)
    else:
        return box
    return Box(box.class_name, xmin, ymin, xmax, ymax)


def read_manifest(folder: Path) -> Manifest:
    """Return what an exported folder holds.

    Raises:
        FileNotFoundError: if it is none.
        ValueError: if its manifest is damaged.
    """
    where = f"{folder}/{MANIFEST}"
    try:
        value = storage.read_json(where)
        known = value["round"], value["format"], value["queue"], value["images"]
        manifest = Manifest(*known, dict(value.get("imported", {})))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{where} is missing: `boxloop review export` writes it") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{where} is damaged ({error}): export again") from error
    is_fine = isinstance(manifest.round_number, int) and isinstance(manifest.images, dict)
    if not is_fine or manifest.kind not in FORMATS or not _are_texts(manifest.images.values()):
        raise ValueError(f"{where} is damaged: export again")
    return manifest


def _undecided(run: Run, review: Review) -> pd.DataFrame:
    decisions, _ = read_decisions(run, review.round_number)
    done = [one.image_id for one in standing(decisions) if one.action != SKIP]
    rows = review.queue.merge(review.images[["image_id", "uri"]], on="image_id")
    return rows[~rows["image_id"].isin(done)]


def _file_name(number: int, image_id: str, image_label: object) -> str:
    """Return a name that is one file's alone, whatever folder the image is in."""
    path = PurePosixPath(image_id)
    label = image_label if isinstance(image_label, str) else "unlabelled"
    parts = (_cut(re.sub(r"[^\w.-]", "_", part)) for part in (label, path.stem))
    return "_".join([f"{number:05d}", *parts]) + path.suffix.lower()


def _cut(text: str) -> str:
    return text.encode()[:_LONGEST].decode(errors="ignore")


def _write_image(folder: Path, name: str, uri: str, with_links: bool) -> str:
    """Write an image, and return the name that it got."""
    data = storage.read_bytes(uri)
    if read_facts(data, hash_pixels=False).orientation != 1:
        name = f"{PurePosixPath(name).stem}.png"
        storage.write_bytes(f"{folder}/{IMAGES}/{name}", to_png(data))
    elif with_links and not storage.is_remote(uri):
        (folder / IMAGES).mkdir(parents=True, exist_ok=True)
        (folder / IMAGES / name).symlink_to(Path(uri).resolve())
    else:
        storage.write_bytes(f"{folder}/{IMAGES}/{name}", data)
    return name


def _write_boxes(
    folder: Path, kind: str, names: Mapping[str, str], questions: Mapping[str, Question]
) -> None:
    annotations = [_annotation(name, questions[image_id], kind) for name, image_id in names.items()]
    if kind == CVAT:
        storage.write_bytes(f"{folder}/annotations.xml", build_cvat(annotations))
    elif kind == LABEL_STUDIO:
        shares = map(_relative, annotations)
        data = build_label_studio(shares, images=_SERVED)
        storage.write_bytes(f"{folder}/tasks.json", data)
    else:
        for one in annotations:  # beside the images: labelImg looks there first
            data = build_voc(one.image, one.width or 0, one.height or 0, one.boxes)
            path = PurePosixPath(one.image).with_suffix(".xml")
            storage.write_bytes(f"{folder}/{IMAGES}/{path}", data)


def _annotation(name: str, question: Question, kind: str) -> Annotation:
    boxes = exported_boxes(question, kind)
    return Annotation(name, boxes, question.width, question.height)


def _relative(annotation: Annotation) -> Annotation:
    width, height = annotation.width or 1, annotation.height or 1
    boxes = (
        Box(name, xmin / width, ymin / height, xmax / width, ymax / height)
        for name, xmin, ymin, xmax, ymax, _ in annotation.boxes
    )
    return replace(annotation, boxes=tuple(boxes), is_relative=True)


def _write_class_names(folder: Path, kind: str, names: Sequence[str]) -> None:
    """Write the classes in the form that the tool takes."""
    if kind == CVAT:
        storage.write_json(f"{folder}/labels.json", [{"name": name} for name in names])
    elif kind == LABEL_STUDIO:
        storage.write_bytes(f"{folder}/labels.xml", _labelling_interface(names).encode())
    else:
        storage.write_bytes(f"{folder}/classes.txt", "".join(f"{n}\n" for n in names).encode())


def _labelling_interface(names: Iterable[str]) -> str:
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in names)
    return (
        f'<View>\n  <Image name="image" value="$image"/>\n'
        f'  <RectangleLabels name="label" toName="image">\n{labels}  </RectangleLabels>\n</View>\n'
    )


def _whole(low: float, high: float, limit: int) -> tuple[float, float]:
    """Return whole pixels around an edge to edge, at least two: one alone is read as a slip."""
    start, end = math.floor(low), math.ceil(high)
    end = min(max(end, start + 2), limit)
    return float(max(min(start, end - 2), 0)), float(end)


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)
