"""What people did to an exported review queue, with whatever tool, as decisions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.data.cleaning import clean_boxes
from boxloop.data.findings import DROPPED, KINDS, SET_ASIDE
from boxloop.data.folder import IMAGE_SUFFIXES
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.detect import Format, detect_format, parse_file
from boxloop.data.formats.label_studio import answered_images
from boxloop.data.images import ImageFacts
from boxloop.oracle.answers import ACCEPT, CORRECT, REJECT, Decision, Question
from boxloop.review import Review, read_decisions, record
from boxloop.review_export import (
    IMAGES,
    MANIFEST,
    OUR_FILES,
    Manifest,
    exported_boxes,
    read_manifest,
    read_open_review,
    shown_boxes,
)

_ROUNDING = 0.02  # pixels that a tool may be off with a box that nobody touched
_HEAD = 4096  # bytes by which a format is told
_READ = (Format.VOC, Format.CVAT, Format.LABEL_STUDIO, Format.COCO)
_STRAY = "bad_row"  # a finding that is no box's


@dataclass
class Imported:
    """What an import found."""

    recorded: dict[str, int] = field(default_factory=lambda: {ACCEPT: 0, CORRECT: 0, REJECT: 0})
    """Decisions by their action."""
    unchanged: int = 0
    """Images that nobody touched."""
    known: int = 0
    """Decisions that an earlier import has recorded."""
    set_aside: dict[str, str] = field(default_factory=dict)
    """File, or file and image -> why it is not used."""


def import_review(
    run: Run, folder: Path, *, author: str, accept_unchanged: bool = False
) -> Imported:
    """Record what was changed in an exported folder.

    Changed boxes are a correction; where all were deleted, the proposed one is rejected. What a
    file says that was written later may stand beside the exported one: what differs counts.

    Args:
        run: the run that the queue is of.
        folder: as `review_export` wrote it, and a tool changed it.
        author: who did it.
        accept_unchanged: a proposed box that nobody touched is right.

    Raises:
        FileNotFoundError: if the folder holds no export.
        ValueError: if it is of another queue, or the review is closed.
    """
    manifest = read_manifest(folder)
    round_number = manifest.round_number
    review = read_open_review(run, round_number)
    if storage.digest(run.queue(round_number)) != manifest.queue_digest:
        problem = f"is an export of another queue than that of round {round_number} of {run.uri}"
        raise ValueError(f"{folder} {problem}: export it again")
    imported = Imported()
    said = _read_answers(folder, manifest, review, imported.set_aside)
    newest, known = _newest_of(author, run, round_number), dict(manifest.imported)
    for image_id in sorted(said):
        decision = _decide(image_id, said[image_id], author, review, accept_unchanged)
        if decision is None:
            imported.unchanged += 1
        elif _digest(decision) == known.get(image_id) or _is_same(decision, newest.get(image_id)):
            imported.known += 1
        elif _record(run, decision, imported):
            known[image_id] = _digest(decision)
    where = f"{folder}/{MANIFEST}"
    storage.write_json(where, {**storage.read_json(where), "imported": known})
    return imported


def _read_answers(
    folder: Path, manifest: Manifest, review: Review, set_aside: dict[str, str]
) -> dict[str, tuple[Box, ...] | None]:
    """Return image_id -> all its boxes, or None where nobody touched it."""
    questions = review.questions.images
    by_name = {
        key: image_id
        for name, image_id in manifest.images.items()
        for key in (PurePosixPath(name).stem, name)
        if image_id in questions
    }
    said: dict[str, tuple[Box, ...] | None] = {}
    unclear: set[str] = set()
    for where, annotation in _annotations(folder, set_aside):
        name = PurePosixPath(annotation.image.replace("\\", "/")).name
        image_id = by_name.get(name) or by_name.get(PurePosixPath(name).stem)
        if image_id is None:
            set_aside[where] = f"it names image {annotation.image!r:.200}, which was not exported"
            continue
        try:
            boxes = _changed_boxes(annotation, questions[image_id], manifest.kind, where)
        except ValueError as error:
            set_aside[where] = str(error)
            unclear.add(image_id)
            continue
        if boxes is not None and said.get(image_id) not in (None, boxes):
            set_aside[where] = f"another file says something else of {name}: keep one of them"
            unclear.add(image_id)
        said[image_id] = boxes if boxes is not None else said.get(image_id)
    return {image_id: boxes for image_id, boxes in said.items() if image_id not in unclear}


def _annotations(folder: Path, set_aside: dict[str, str]) -> Iterator[tuple[str, Annotation]]:
    """Give what each file of a folder says, with the file's name and the image's."""
    listing = storage.list_folder(str(folder))
    for path in listing.files:
        is_image = path.lower().endswith(IMAGE_SUFFIXES)
        if path in OUR_FILES or path == f"{IMAGES}/classes.txt" or is_image:
            continue
        if path in listing.links_out:
            set_aside[path] = "a link that is not followed; copy what it leads to"
            continue
        try:
            found = _parse(path, storage.read_bytes(f"{folder}/{path}"))
        except (ValueError, PermissionError) as error:
            set_aside[path] = str(error)
            continue
        for annotation in found:
            yield (path if len(found) == 1 else f"{path}: {annotation.image}"), annotation


def _parse(path: str, data: bytes) -> Sequence[Annotation]:
    kind = detect_format(path, data[:_HEAD])
    if kind not in _READ:
        raise ValueError(f"is in no format that comes back: {', '.join(_READ)}; unpack archives")
    annotations = parse_file(kind, data, path, [])
    if kind == Format.VOC:  # labelImg may call the image as it likes, never the file
        stem = PurePosixPath(path).stem
        return [replace(one, image=stem) for one in annotations]
    if kind == Format.LABEL_STUDIO:
        answered = answered_images(data, path)
        return [one for one in annotations if one.image in answered]
    return annotations


def _changed_boxes(
    annotation: Annotation, question: Question, kind: str, where: str
) -> tuple[Box, ...] | None:
    """Return the boxes of an image, None if they are those that were exported.

    Raises:
        ValueError: if one cannot be used: then the others are not all that the person meant.
    """
    facts = ImageFacts("", question.width, question.height, "", "", 1, None)
    boxes, findings = clean_boxes(annotation, facts, where, min_box=0.0)
    for finding in (*annotation.findings, *findings):
        is_lost = KINDS[finding.kind].gravity in (DROPPED, SET_ASIDE)
        if is_lost and finding.kind != _STRAY:
            raise ValueError(f"{KINDS[finding.kind].title}: {finding.detail}")
    exported = exported_boxes(question, kind)
    is_same = [any(_is_close(box, ours) for ours in exported) for box in boxes]
    if len(boxes) == len(exported) and all(is_same):
        return None
    meant = (_as_shown(box, exported, shown_boxes(question)) for box in boxes)
    return tuple(sorted(box._replace(difficult=False) for box in meant))


def _is_close(box: Box, other: Box) -> bool:
    return box.class_name == other.class_name and _is_there(box, other)


def _is_there(box: Box, other: Box) -> bool:
    return all(abs(a - b) <= _ROUNDING for a, b in zip(box.xyxy, other.xyxy, strict=True))


def _as_shown(box: Box, exported: Sequence[Box], shown: Sequence[Box]) -> Box:
    """Return a box that was not moved with its own edges, which the tool has rounded."""
    for ours, own in zip(exported, shown, strict=True):
        if _is_there(box, ours):
            return own._replace(class_name=box.class_name)
    return box


def _decide(
    image_id: str,
    boxes: tuple[Box, ...] | None,
    author: str,
    review: Review,
    accept_unchanged: bool,
) -> Decision | None:
    action = CORRECT if boxes else REJECT
    if boxes is None:
        proposed = review.questions.images[image_id].proposed
        if not accept_unchanged or proposed is None:
            return None
        action, boxes = ACCEPT, (proposed,)
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Decision(image_id, action, boxes, 0.0, author, now, review.round_number)


def _newest_of(author: str, run: Run, round_number: int) -> dict[str, Decision]:
    decisions, _ = read_decisions(run, round_number)
    return {one.image_id: one for one in decisions if one.author == author}


def _is_same(decision: Decision, other: Decision | None) -> bool:
    return (
        other is not None
        and decision.action == other.action
        and sorted(decision.boxes) == sorted(other.boxes)
    )


def _digest(decision: Decision) -> str:
    said = decision.author, decision.action, sorted(decision.boxes)
    return hashlib.sha256(repr(said).encode()).hexdigest()


def _record(run: Run, decision: Decision, imported: Imported) -> bool:
    try:
        record(run, decision.round, decision)
    except ValueError as error:
        imported.set_aside[decision.image_id] = str(error)
        return False
    imported.recorded[decision.action] += 1
    return True
