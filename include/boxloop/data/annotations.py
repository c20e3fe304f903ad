"""The annotation files of a folder, read once each, and every image's part of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from boxloop import storage
from boxloop.data.findings import Finding, Findings
from boxloop.data.folder import Folder
from boxloop.data.formats.annotation import Annotation
from boxloop.data.formats.detect import Format, detect_format, parse_class_names, parse_file
from boxloop.data.matching import ImageIndex, Match, parent

HEAD_BYTES = 4096
ONE_IMAGE = (Format.VOC, Format.YOLO)  # formats with a file for each image, called like it


class Found(NamedTuple):
    """What a file says of an image."""

    path: str
    """The file, below the folder."""
    annotation: Annotation | None
    """None: the file cannot be read, see `error`."""
    error: str = ""
    place: str = ""
    """What its objects are numbered in: the file, or the file and the image."""


class _Parsed(NamedTuple):
    path: str
    format: Format | None
    annotations: Sequence[Annotation] = ()
    error: str = ""
    data: bytes = b""
    """Of files that need another file to be understood."""


class _Claim(NamedTuple):
    """That an annotation is about an image; the least claim on an image wins."""

    is_ambiguous: bool
    is_broken: bool
    is_empty: bool
    is_far: bool
    """Whether the file is called otherwise than the image."""
    path: str
    match: Match
    found: Found


def read_annotations(folder: Folder, names: Sequence[str], findings: Findings) -> dict[str, Found]:
    """Return image_id -> what its annotation file says.

    Of several files that fit one image, one that can be read and has boxes is used, then the one
    called most like it, then the first by name. What fits several images alike goes to none.

    Args:
        folder: whose images they are.
        names: files, below the folder.
        findings: gets what belongs to no image or could not be read.
    """
    if not names:
        return {}
    index = ImageIndex(folder.image_ids)
    claims: list[_Claim] = []
    for parsed in _parse_all(folder.uri, names, findings):
        if parsed.format is None:
            findings.append(Finding("unknown_file", parsed.path, parsed.error))
        else:
            claims += _claims(parsed, index, findings)
    pairs: dict[str, Found] = {}
    for claim in sorted(claims, key=lambda claim: claim[:5]):
        _take(folder, claim, pairs, findings)
    return pairs


def _parse_all(uri: str, names: Sequence[str], findings: Findings) -> Iterator[_Parsed]:
    """Parse every file; YOLO's come last, since the names of its classes are in another."""
    class_names: dict[str, list[str]] = {}
    waiting = []
    for parsed in storage.map_files(partial(_read, uri), names, threads=storage.readers(uri)):
        if parsed.format == Format.YOLO:
            waiting.append(parsed)
        elif parsed.format == Format.CLASS_NAMES:
            try:
                class_names[parent(parsed.path)] = parse_class_names(parsed.data, parsed.path)
            except ValueError as error:
                findings.append(Finding("broken_annotation", parsed.path, str(error)))
        else:
            yield parsed
    for parsed in waiting:
        names_of_file = _nearest(class_names, parent(parsed.path))
        yield _parse(parsed.path, Format.YOLO, parsed.data, names_of_file)


def _nearest(class_names: Mapping[str, list[str]], folder: str) -> list[str]:
    """Return the class names that lie nearest above a folder, or the only ones there are."""
    while folder and folder not in class_names:
        folder = parent(folder)
    only = next(iter(class_names.values())) if len(class_names) == 1 else []
    return class_names.get(folder, only)


def _read(uri: str, name: str) -> _Parsed:
    """Read a file, and parse it if that needs no other file."""
    try:
        data = storage.read_bytes(f"{uri}/{name}")
    except (PermissionError, FileNotFoundError) as error:  # gone since it was listed
        return _Parsed(name, None, error=str(error))
    kind = detect_format(name, data[:HEAD_BYTES])
    if kind in (Format.YOLO, Format.CLASS_NAMES):
        return _Parsed(name, kind, data=data)
    if kind is None or kind == Format.LABELS:
        return _Parsed(name, None, error=f"{name}: is in no format of annotations")
    return _parse(name, kind, data, [])


def _parse(name: str, kind: Format, data: bytes, class_names: Sequence[str]) -> _Parsed:
    try:
        return _Parsed(name, kind, parse_file(kind, data, name, class_names))
    except ValueError as error:
        return _Parsed(name, kind, error=str(error))


def _claims(parsed: _Parsed, index: ImageIndex, findings: Findings) -> Iterator[_Claim]:
    """Give which images each annotation of a file means."""
    by_stem = index.by_stem(parsed.path)
    if parsed.error:
        yield _claim(by_stem, Found(parsed.path, None, parsed.error))
    for annotation in parsed.annotations:
        match = index.by_claim(annotation.image)
        place = f"{parsed.path}: {annotation.image}"
        if parsed.format in ONE_IMAGE:
            place = parsed.path
            if by_stem.image_ids:
                match = _prefer_stem(by_stem, match, annotation, parsed.path, findings)
        yield _claim(match, Found(parsed.path, annotation, place=place))


def _prefer_stem(
    by_stem: Match, by_claim: Match, annotation: Annotation, path: str, findings: Findings
) -> Match:
    """Return the images that a file is called like, or the one of them that it names."""
    if len(by_claim.image_ids) == 1 and by_claim.image_ids[0] in by_stem.image_ids:
        return by_claim._replace(is_near=by_stem.is_near)
    if by_claim.image_ids and not set(by_claim.image_ids) & set(by_stem.image_ids):
        detail = f"it names {annotation.image!r}, and is called like {by_stem.image_ids[0]}"
        findings.append(Finding("names_another", path, detail))
    return by_stem._replace(kind=by_claim.kind)


def _claim(match: Match, found: Found) -> _Claim:
    images = match.image_ids
    return _Claim(
        is_far=not match.is_near,
        is_ambiguous=len(images) > 1,
        is_broken=found.annotation is None,
        is_empty=found.annotation is None or not found.annotation.boxes,
        path=found.path,
        match=match,
        found=found,
    )


def _take(folder: Folder, claim: _Claim, pairs: dict[str, Found], findings: Findings) -> None:
    """Give an annotation to the one image that it means, or say why it goes to none."""
    images, found = claim.match.image_ids, claim.found
    if len(images) == 1 and images[0] not in pairs:
        pairs[images[0]] = found
        if claim.match.kind and found.annotation:
            detail = f"it names its image {found.annotation.image!r}"
            findings.append(Finding(claim.match.kind, found.path, detail))
        return
    findings.append(_unused(folder, images, found, pairs))
    if found.annotation:
        findings += found.annotation.findings


def _unused(
    folder: Folder, images: Sequence[str], found: Found, pairs: Mapping[str, Found]
) -> Finding:
    if found.annotation is None:
        return Finding("broken_annotation", found.path, found.error)
    name = found.annotation.image
    if not images:
        place = folder.images or "the folder"
        detail = f"no image in {place} goes with this file, it names {name!r}"
        return Finding("no_image", found.path, detail)
    if len(images) > 1:
        detail = f"{name!r} may be {' or '.join(images[:4])}; give each image a name of its own"
        return Finding("ambiguous", found.path, detail)
    detail = f"{folder.images}{images[0]} goes with {pairs[images[0]].path} already"
    return Finding("annotated_twice", found.path, detail)
