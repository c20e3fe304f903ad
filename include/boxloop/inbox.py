"""An inbox: what has arrived since the last night; intake_limits.py: how much of it is trusted.

Nobody vouches for what people and machines drop there. Files are listed first, at no cost; what
has not changed since the last night is not opened at all. What is read is read by the code of an
import, and what cannot be read, or may not be, is listed and left where it is. Nothing in an inbox
is ever changed or deleted, and nothing that goes missing from it has any effect.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from boxloop.listing import Stamp
from boxloop.nightly_settings import IntakeConfig
from boxloop.settings import DataConfig

if TYPE_CHECKING:
    from boxloop.data.findings import Finding, Findings
    from boxloop.data.formats.annotation import Box
    from boxloop.data.images import ImageFacts
    from boxloop.data.survey import Survey

Stamps = Mapping[str, Stamp]

BROKEN = frozenset(
    {"ambiguous", "bad_name", "broken_annotation", "broken_image", "disagreeing_copies"}
    | {"leads_out", "link", "too_large", "too_many_boxes", "unknown_file"}
)
"""Kinds of findings that a file costs itself by: it cannot be read, or may not be."""
MEGABYTE = 10**6


class Item(NamedTuple):
    """An image of an inbox that can be read."""

    path: str
    """Below the inbox's images; what becomes its image_id."""
    uri: str
    facts: ImageFacts
    label: str | None
    split: str | None
    """As the inbox gives it."""
    boxes: tuple[Box, ...]

    @property
    def digest(self) -> str:
        """Of everything that a night takes of it: its bytes, its label and its boxes."""
        boxes = sorted([box.class_name, *map(float, box.xyxy), box.difficult] for box in self.boxes)
        return digest_of([self.facts.sha256, self.label, boxes])


class Reading(NamedTuple):
    """What was found in an inbox."""

    items: tuple[Item, ...]
    """Sorted by path; of files with the same bytes one alone, see `_without_copies`."""
    digests: Mapping[str, str]
    """Path to digest of these and of their copies, but of copies that disagree."""
    findings: Findings
    image_uris: Mapping[str, str]
    """Path below the inbox to URI, of every image file."""


def digest_of(value: Any) -> str:
    """Return the sha256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def listing_digest(stamps: Stamps, settings: Collection[Any]) -> str:
    """Return what stays the same as long as the files and the settings of reading them do."""
    return digest_of([{name: stamp.text for name, stamp in stamps.items()}, [*settings]])


def read_inbox(
    uri: str,
    stamps: Stamps,
    config: IntakeConfig,
    data: DataConfig,
    is_seen: Callable[[Item], bool],
) -> Reading:
    """Read all images and boxes of an inbox, but links and files that are too large to be opened.

    Args:
        uri: the inbox, a local folder or gs://bucket/prefix.
        stamps: of its files, as `boxloop.storage.list_stamps` gives them.
        config: the limits.
        data: how to read names and labels; its `uri` plays no part.
        is_seen: whether an earlier night has seen an item as it is.

    Raises:
        ValueError: if a table of the inbox cannot be read.
    """
    from boxloop.data.survey import survey_folder

    findings = [*_too_large(stamps, config), *_links(uri, stamps)]
    try:
        survey = survey_folder(
            uri,
            dataclasses.replace(data, uri=uri, previous=None, drawn=None, version=None),
            findings,
            leave_out={one.path for one in findings},
            max_pixels=config.max_megapixels * 10**6,
        )
    except FileNotFoundError:  # nothing in it that may be opened is an image
        return Reading((), {}, findings, {})
    return _choose(survey, findings, config, is_seen)


def _choose(
    survey: Survey, findings: Findings, config: IntakeConfig, is_seen: Callable[[Item], bool]
) -> Reading:
    """Return the images that a night may take, with a finding for each of the others."""
    from boxloop.data.findings import Finding

    items, place = _items(survey), survey.folder.images
    crowded = {item.path for item in items if len(item.boxes) > config.max_boxes_per_image}
    chosen, disagree = _without_copies((i for i in items if i.path not in crowded), is_seen)
    limit = f"the limit is intake.max_boxes_per_image: {config.max_boxes_per_image}"
    findings += [Finding("too_many_boxes", place + path, limit) for path in sorted(crowded)]
    reason = "the same picture, with different boxes or labels; keep one file"
    findings += [Finding("disagreeing_copies", place + p, reason) for p in sorted(disagree)]
    digests = {i.path: i.digest for i in items if i.path not in crowded | disagree}
    uris = {path: f"{survey.folder.uri}/{path}" for path in survey.paths}
    return Reading(tuple(chosen), digests, findings, uris)


def _too_large(stamps: Stamps, config: IntakeConfig) -> Findings:
    from boxloop.data.findings import Finding

    limit = config.max_file_megabytes
    return [
        Finding("too_large", name, f"{stamp.size / MEGABYTE:,.0f} MB, the limit is {limit:g}")
        for name, stamp in stamps.items()
        if stamp.size > limit * MEGABYTE
    ]


def _links(uri: str, stamps: Stamps) -> Findings:
    """Return the files of a local inbox that are links, wherever they lead."""
    from boxloop import storage
    from boxloop.data.findings import Finding

    if storage.is_remote(uri):
        return []
    out = storage.list_folder(uri).links_out  # listed as such by the survey
    names = [name for name in stamps if name not in out and Path(uri, name).is_symlink()]
    return [Finding("link", name, "put the file itself there") for name in names]


def broken_files(findings: Iterable[Finding], stamps: Stamps) -> dict[str, str]:
    """Return the files that cannot be taken, whoever they are, with what tells their state."""
    paths = sorted({found.path for found in findings if found.kind in BROKEN})
    return {path: stamps[path].text if path in stamps else "" for path in paths}


def _items(survey: Survey) -> list[Item]:
    place = f"{survey.folder.uri}/{survey.folder.images}"
    return [
        Item(
            path=name,
            uri=f"{place}{name}",
            facts=facts,
            label=survey.labels[name],
            split=survey.folder.splits.get(name),
            boxes=tuple(survey.boxes.get(name, ())),
        )
        for name, facts in sorted(survey.facts.items())
    ]


def _without_copies(
    items: Iterable[Item], is_seen: Callable[[Item], bool]
) -> tuple[list[Item], set[str]]:
    """Return one item for each content, and the paths of copies that disagree.

    Of copies, those with boxes count, and of these the ones that nobody has seen yet: they are what
    somebody wants now. If there are several that say different things, none is taken.
    """
    copies: dict[str, list[Item]] = {}
    for item in items:
        copies.setdefault(item.facts.sha256, []).append(item)
    chosen, disagree = [], set()
    for group in copies.values():
        best = [item for item in group if item.boxes] or group
        unseen = [item for item in best if not is_seen(item)]
        if len({item.digest for item in unseen}) > 1:
            disagree |= {item.path for item in unseen}
        else:
            chosen.append((unseen or best)[0])
    return sorted(chosen), disagree
