"""An inbox: what has arrived since the last night, and how much of it may be trusted.

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
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_MEGABYTE, _GIGABYTE = 10**6, 10**9


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


def check_amount(stamps: Stamps, seen: Mapping[str, str], config: IntakeConfig) -> None:
    """Check how much is new, before any of it is opened.

    Args:
        stamps: of all files in the inbox.
        seen: name to the stamp's text of the last night.
        config: the limits.

    Raises:
        ValueError: if it is more than a night may take.
    """
    new = {name: stamp.size for name, stamp in stamps.items() if seen.get(name) != stamp.text}
    num_images = sum(
        name.startswith("images/") or name.lower().endswith(IMAGE_SUFFIXES) for name in new
    )
    if num_images > config.max_images:
        raise ValueError(
            f"the inbox has {num_images:,} new images, intake.max_images is {config.max_images:,}: "
            "if they are wanted, raise it for a night; nothing was taken"
        )
    gigabytes = sum(new.values()) / _GIGABYTE
    if gigabytes > config.max_gigabytes:
        raise ValueError(
            f"the inbox has {gigabytes:.1f} GB of new files, intake.max_gigabytes is "
            f"{config.max_gigabytes:g}: if they are wanted, raise it for a night; nothing was taken"
        )


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
    from boxloop.data.findings import Finding
    from boxloop.data.survey import survey_folder

    limit = config.max_file_megabytes * _MEGABYTE
    large = {name: stamp.size for name, stamp in stamps.items() if stamp.size > limit}
    findings = [
        Finding("too_large", name, f"{size / _MEGABYTE:,.0f} MB, the limit is {limit / 1e6:g}")
        for name, size in large.items()
    ]
    links = _links(uri, stamps)
    findings += [Finding("link", name, "put the file itself there") for name in links]
    config_of_inbox = dataclasses.replace(data, uri=uri, previous=None, drawn=None, version=None)
    try:
        survey = survey_folder(
            uri,
            config_of_inbox,
            findings,
            leave_out={*large, *links},
            max_pixels=config.max_megapixels * 10**6,
        )
    except FileNotFoundError:  # nothing in it that may be opened is an image
        return Reading((), {}, findings, {})
    uris = {path: f"{survey.folder.uri}/{path}" for path in survey.paths}
    items = _items(survey)
    crowded = {item.path for item in items if len(item.boxes) > config.max_boxes_per_image}
    chosen, disagree = _without_copies((i for i in items if i.path not in crowded), is_seen)
    limit_text = f"the limit is intake.max_boxes_per_image: {config.max_boxes_per_image}"
    place = survey.folder.images
    findings += [Finding("too_many_boxes", place + path, limit_text) for path in sorted(crowded)]
    reason = "the same picture, with different boxes or labels; keep one file"
    findings += [Finding("disagreeing_copies", place + p, reason) for p in sorted(disagree)]
    digests = {i.path: i.digest for i in items if i.path not in crowded | disagree}
    return Reading(tuple(chosen), digests, findings, uris)


def _links(uri: str, stamps: Stamps) -> list[str]:
    """Return the files of a local inbox that are links, wherever they lead."""
    from boxloop import storage

    if storage.is_remote(uri):
        return []
    out = storage.list_folder(uri).links_out  # listed as such by the survey
    return [name for name in stamps if name not in out and Path(uri, name).is_symlink()]


def broken_files(findings: Iterable[Finding], stamps: Stamps) -> dict[str, str]:
    """Return the files that cannot be taken, whoever they are, with what tells their state."""
    paths = sorted({found.path for found in findings if found.kind in BROKEN})
    return {path: stamps[path].text if path in stamps else "" for path in paths}


def check_shares(num_new: int, num_broken: int, num_unknown: int, config: IntakeConfig) -> None:
    """Check that most of what is new can be used.

    Args:
        num_new: readable images that are new or have changed.
        num_broken: new files that cannot be read, or may not be.
        num_unknown: of the readable ones, those with a class that nobody knows.
        config: the limits.

    Raises:
        ValueError: if too much cannot: a night had better not guess what went wrong.
    """
    total = num_new + num_broken
    for count, what, name in (
        (num_broken, "cannot be read", "max_broken_share"),
        (num_unknown, "are of classes that the champion does not know", "max_unknown_share"),
    ):
        limit = getattr(config, name)
        if count > max(limit * total, config.tolerated):
            raise ValueError(
                f"of {total:,} new files in the inbox {count:,} {what}, more than intake.{name}: "
                f"{limit:g} allows. Nothing was taken; the doctor's page lists them. Mend or "
                f"remove them, or raise the limit for a night"
            )


def check_replaced(what: str, names: Collection[str], total: int, config: IntakeConfig) -> None:
    """Check that most of what people said before stays.

    Args:
        what: of the images would be replaced, `boxes` or `labels`.
        names: of the images.
        total: images of the library that have some.
        config: the limits.

    Raises:
        ValueError: if too much would be replaced.
    """
    if len(names) > max(config.max_replaced_share * total, config.tolerated):
        raise ValueError(
            f"the inbox replaces the {what} of {len(names):,} of the library's {total:,} images "
            f"that have some, more than intake.max_replaced_share: {config.max_replaced_share:g} "
            f"allows, among them {', '.join(sorted(names)[:3])}. Nothing was taken. If they are "
            f"right, raise the limit for a night; else take them out of the inbox"
        )


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
