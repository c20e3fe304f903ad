"""Every file of the user's folder read once and held against the others; nothing is written.

What an import uses and what `boxloop doctor` reports both come from here.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from boxloop import storage
from boxloop.borders import is_class_name
from boxloop.data.annotations import Found, read_annotations
from boxloop.data.cleaning import clean_boxes
from boxloop.data.findings import Finding, Findings
from boxloop.data.folder import Folder, label_of_folder, read_folder
from boxloop.data.formats.annotation import Box
from boxloop.data.images import ImageFacts, findings_of, read_facts
from boxloop.garbage import no_garbage
from boxloop.settings import DataConfig

Boxes = Mapping[str, Sequence[Box]]


@dataclass(frozen=True)
class Survey:
    """What a folder holds, by image_id; only images that can be read."""

    folder: Folder
    paths: frozenset[str]
    """Every image file of the folder, below it, usable or not."""
    facts: dict[str, ImageFacts]
    boxes: Boxes
    """Of images with at least one usable box."""
    truth: Boxes
    """True boxes of images, which nothing may train on."""
    labels: dict[str, str | None]
    findings: Findings


class _Reading(NamedTuple):
    image_id: str
    facts: ImageFacts | None
    boxes: list[Box]
    truth: list[Box]
    findings: Findings


def survey_folder(
    uri: str,
    config: DataConfig,
    findings: Findings,
    *,
    leave_out: Collection[str] = (),
    max_pixels: float | None = None,
) -> Survey:
    """Read a folder of images and annotations, and check every file of it.

    Args:
        uri: a local folder or gs://bucket/prefix.
        config: where things are, and how to read them.
        findings: gets what is wrong, also where this raises; the survey's own are the same list.
        leave_out: files below the folder that are not opened, as if they were not there.
        max_pixels: pictures with more are not decoded but listed; None for Pillow's own limit.

    Raises:
        FileNotFoundError: if there is no such folder or no image in it.
        ValueError: if a table of the folder cannot be read.
    """
    folder = read_folder(uri, config, findings, leave_out=leave_out)
    paths = frozenset(f"{folder.images}{image_id}" for image_id in folder.image_ids)
    with no_garbage():  # a tenth faster
        annotations = read_annotations(folder, folder.annotations, findings)
        truth = read_annotations(folder, folder.truth, findings)
        readings = _read_all(folder, annotations, truth, config, max_pixels)
    usable = {r.image_id: r for r in readings if r.facts}
    labels = {name: _label(folder, annotations.get(name), name, config) for name in usable}
    _drop_odd_labels(folder, labels, findings)
    survey = Survey(
        folder=folder,
        paths=paths,
        facts={name: r.facts for name, r in usable.items() if r.facts},
        boxes={name: r.boxes for name, r in usable.items() if r.boxes},
        truth={name: r.truth for name, r in usable.items()},
        labels=labels,
        findings=findings,
    )
    findings += chain.from_iterable(reading.findings for reading in readings)
    findings += [*_label_findings(survey), *_name_findings(survey), *_duplicates(survey)]
    return survey


def _read_all(
    folder: Folder,
    annotations: Mapping[str, Found],
    truth: Mapping[str, Found],
    config: DataConfig,
    max_pixels: float | None,
) -> list[_Reading]:
    def read(image_id: str) -> _Reading:
        found, true = annotations.get(image_id), truth.get(image_id)
        return _read(folder, image_id, found, true, config, max_pixels)

    decoders = (os.cpu_count() or 1) if config.near_duplicates else 1  # decoding frees the lock
    threads = max(decoders, storage.readers(folder.uri))
    return list(storage.map_files(read, sorted(folder.image_ids), threads=threads))


def _read(
    folder: Folder,
    image_id: str,
    found: Found | None,
    true: Found | None,
    config: DataConfig,
    max_pixels: float | None,
) -> _Reading:
    """Read an image and clean its boxes; the image's bytes are gone when this returns."""
    path = f"{folder.images}{image_id}"
    try:
        data = storage.read_again(f"{folder.uri}/{path}")
        facts = read_facts(data, hash_pixels=config.near_duplicates, max_pixels=max_pixels)
    except (ValueError, PermissionError, FileNotFoundError) as error:  # gone since it was listed
        return _Reading(image_id, None, [], [], [Finding("broken_image", path, str(error))])
    findings = findings_of(facts, path)
    if found is not None and found.annotation is None:
        broken = Finding("broken_annotation", path, found.error)
        return _Reading(image_id, None, [], [], [*findings, broken])
    boxes = _clean(found, facts, config, findings) if found else []
    if found is None:
        findings.append(Finding("no_annotation", path, "no file with boxes goes with it"))
    elif not boxes:
        findings.append(Finding("no_usable_box", path, f"{found.path} has no usable box of it"))
    if true is not None and true.annotation is None:
        findings.append(Finding("broken_annotation", true.path, true.error))
    truth = _clean(true, facts, config, findings) if true else []
    return _Reading(image_id, facts, boxes, truth, findings)


def _clean(found: Found, facts: ImageFacts, config: DataConfig, findings: Findings) -> list[Box]:
    if found.annotation is None:
        return []
    findings += found.annotation.findings
    boxes, dirt = clean_boxes(found.annotation, facts, found.place, min_box=config.min_box)
    findings += dirt
    if odd := [n for n in sorted({box.class_name for box in boxes}) if not is_class_name(n)]:
        boxes = [box for box in boxes if box.class_name not in odd]
        findings += [Finding("odd_name", found.place, f"{name!r:.60}") for name in odd]
    rename = config.rename
    return (
        [b._replace(class_name=rename.get(b.class_name, b.class_name)) for b in boxes]
        if rename
        else boxes
    )


def _label(folder: Folder, found: Found | None, image_id: str, config: DataConfig) -> str | None:
    """Return an image's label: as stated for it, as its annotation has it, or its folder's name."""
    label = folder.labels.get(image_id)
    if image_id not in folder.labels:
        stated = found.annotation.image_label if found and found.annotation else None
        label = stated or label_of_folder(image_id)
    return None if label is None else config.rename.get(label, label)


def _drop_odd_labels(folder: Folder, labels: dict[str, str | None], findings: Findings) -> None:
    for image_id, label in labels.items():
        if label is not None and not is_class_name(label):
            path = f"{folder.images}{image_id}"
            findings.append(Finding("odd_name", path, f"its label is {label!r:.60}"))
            labels[image_id] = None


def _label_findings(survey: Survey) -> Iterable[Finding]:
    for image_id, boxes in survey.boxes.items():
        label = survey.labels[image_id]
        names = sorted({box.class_name for box in boxes})
        if label is not None and names and label not in names:
            detail = f"the label is {label!r}, its boxes are {', '.join(names)}"
            yield Finding("label_without_box", f"{survey.folder.images}{image_id}", detail)


def _name_findings(survey: Survey) -> Iterable[Finding]:
    """Find class names that a person would read as one."""
    counts = Counter(box.class_name for boxes in survey.boxes.values() for box in boxes)
    counts.update(label for label in survey.labels.values() if label is not None)
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        alike[re.sub(r"[\s_-]+", " ", name).strip().casefold()].append(name)
    for best, *others in (names for names in alike.values() if len(names) > 1):
        for other in others:
            detail = (
                f"{other!r} ({counts[other]} times) beside {best!r} ({counts[best]} times): "
                f"data.rename: {{{other!r}: {best!r}}}"
            )
            yield Finding("similar_names", "all files", detail)


def _duplicates(survey: Survey) -> Iterable[Finding]:
    """Find images that are the same byte for byte."""
    first: dict[str, str] = {}
    for image_id, facts in survey.facts.items():
        original = first.setdefault(facts.sha256, image_id)
        if original != image_id:
            path = f"{survey.folder.images}{image_id}"
            yield Finding("duplicate_image", path, f"the same file as {original}")
