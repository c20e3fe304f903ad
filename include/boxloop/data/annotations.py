"""The annotation files of a folder, read once each, and every image's part of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple

from boxloop import storage
from boxloop.data.findings import Finding
from boxloop.data.folder import Findings, Folder
from boxloop.data.formats.annotation import Annotation
from boxloop.data.formats.detect import Format, detect_format, parse_class_names, parse_file
from boxloop.data.matching import ImageIndex, Match, stem

HEAD_BYTES = 4096
CHUNK = 32  # files handed to a thread at once
_ONE_IMAGE = (Format.VOC, Format.YOLO)  # formats with a file for each image, called like it


class Found(NamedTuple):
    """What a file says of an image."""

    path: str
    """The file, below the folder."""
    annotation: Annotation | None
    """None: the file cannot be read, see `error`."""
    error: str = ""


class _Parsed(NamedTuple):
    path: str
    format: Format | None
    annotations: Sequence[Annotation]
    error: str


def read_annotations(folder: Folder, names: Sequence[str], findings: Findings) -> dict[str, Found]:
    """Return image_id -> what its annotation file says.

    Images that an annotation fits alike are taken out of the folder; of several files that fit one
    image, the one called most like it is used, then the first by name.

    Args:
        folder: whose images they are.
        names: files, below the folder.
        findings: gets what belongs to no image or could not be read.
    """
    if not names:
        return {}
    index = ImageIndex(folder.image_ids)
    claims = [
        claim
        for parsed in _parse_all(folder.uri, names)
        for claim in _claims(parsed, index, findings)
    ]
    pairs: dict[str, Found] = {}
    for _, match, found in sorted(claims, key=lambda claim: (claim[0], claim[2].path)):
        _take(folder, match, found, pairs, findings)
    return pairs


def _parse_all(uri: str, names: Sequence[str]) -> Iterator[_Parsed]:
    """Parse every file; YOLO's come last, since the names of its classes are in another."""
    class_names: list[str] = []
    waiting = []
    for name, kind, data, parsed in _read_all(uri, names):
        if parsed:
            yield parsed
        elif kind == Format.YOLO:
            waiting.append((name, data))
        else:
            try:
                class_names = parse_class_names(data, name)
            except ValueError as error:
                yield _Parsed(name, kind, (), str(error))
    for name, data in waiting:
        yield _parse(name, Format.YOLO, data, class_names)


def _read_all(
    uri: str, names: Sequence[str]
) -> Iterator[tuple[str, Format | None, bytes, _Parsed | None]]:
    """Read every file, several at a time, and parse those that need no other file for it."""
    chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]

    def read(chunk: Sequence[str]) -> list[tuple[str, Format | None, bytes, _Parsed | None]]:
        return [_read(uri, name) for name in chunk]

    with ThreadPoolExecutor(storage.readers(uri)) as pool:
        yield from chain.from_iterable(pool.map(read, chunks))


def _read(uri: str, name: str) -> tuple[str, Format | None, bytes, _Parsed | None]:
    data = storage.read_bytes(f"{uri}/{name}")
    kind = detect_format(name, data[:HEAD_BYTES])
    if kind in (Format.YOLO, Format.CLASS_NAMES):
        return name, kind, data, None
    return name, kind, b"", _parse(name, kind, data, [])


def _parse(name: str, kind: Format | None, data: bytes, class_names: Sequence[str]) -> _Parsed:
    if kind is None or kind == Format.LABELS:
        return _Parsed(name, kind, (), f"{name}: is in no format of annotations")
    try:
        return _Parsed(name, kind, parse_file(kind, data, name, class_names), "")
    except ValueError as error:
        return _Parsed(name, kind, (), str(error))


def _claims(
    parsed: _Parsed, index: ImageIndex, findings: Findings
) -> Iterator[tuple[int, Match, Found]]:
    """Give which images each annotation of a file means; 0 where no other file fits better."""
    below = parsed.path.partition("/")[2] or parsed.path
    by_stem = index.by_stem(below)
    rank = 0 if by_stem.image_ids and stem(by_stem.image_ids[0]) == stem(below) else 1
    if parsed.format is None and not by_stem.image_ids:
        findings.append(Finding("unknown_file", parsed.path, parsed.error))
    elif parsed.error:
        yield rank, by_stem, Found(parsed.path, None, parsed.error)
    for annotation in parsed.annotations:
        by_claim = index.by_claim(annotation.image)
        match = by_claim
        if parsed.format in _ONE_IMAGE and by_stem.image_ids:
            match = by_stem._replace(kind=by_claim.kind)
        yield rank, match, Found(parsed.path, annotation)


def _take(
    folder: Folder, match: Match, found: Found, pairs: dict[str, Found], findings: Findings
) -> None:
    """Give an annotation to the one image that it means, or say why it goes to none."""
    free = [image_id for image_id in match.image_ids if image_id not in pairs]
    if len(free) != 1 and found.annotation:
        findings += found.annotation.findings
    if not match.image_ids:
        findings.append(_without_image(folder, found))
    elif not free:
        image_id = match.image_ids[0]
        reason = f"{folder.images}{image_id} goes with {pairs[image_id].path} already"
        findings.append(Finding("annotated_twice", found.path, reason))
    elif len(free) == 1:
        pairs[free[0]] = found
        if match.kind and found.annotation:
            findings.append(
                Finding(match.kind, found.path, f"it names its image {found.annotation.image!r}")
            )
    else:
        reason = f"{' and '.join(free)} share {found.path}; give each image a name of its own"
        findings += [Finding("ambiguous", f"{folder.images}{name}", reason) for name in free]
        folder.image_ids.difference_update(free)


def _without_image(folder: Folder, found: Found) -> Finding:
    if found.annotation is None:
        return Finding("broken_annotation", found.path, found.error)
    name = found.annotation.image
    place = folder.images or "the folder"
    return Finding(
        "no_image", found.path, f"no image in {place} goes with this file, it names {name!r}"
    )
