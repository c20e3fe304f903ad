"""What a night finds in its inbox, apart from what earlier nights have seen; the doctor's page."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from boxloop import storage
from boxloop.data.dataset import Dataset
from boxloop.data.doctor import Diagnosis, by_kind
from boxloop.data.findings import Finding, Findings
from boxloop.inbox import (
    BROKEN,
    Item,
    Reading,
    Stamps,
    broken_files,
    digest_of,
    read_inbox,
)
from boxloop.intake import UNKNOWN, Sorted, sort_items
from boxloop.intake_limits import check_replaced, check_shares
from boxloop.nightly_settings import IntakeConfig
from boxloop.report.data_page import build_doctor_page

if TYPE_CHECKING:
    from boxloop.nightly import Night

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found in an inbox."""

    taken: Sequence[Item]
    """What is new or has changed, and is taken."""
    num_refused: int
    """What is new and is not."""
    text: str
    doctor_uri: str
    report: dict[str, Any]
    """For later nights, of all that was ever seen: `files`, name to stamp; `items`, path to digest;
    `undone`, digests that are not taken again. For people: `taken`, paths, and `refused`, path,
    kind and reason of everything in the inbox that is not used."""


class New(NamedTuple):
    """What earlier nights have not seen, or not as it is now."""

    digests: dict[str, str]
    """Path to what tells an item from itself of another night, of all items that can be read."""
    broken: dict[str, str]
    """The same of all files that cannot."""
    paths: set[str]
    """Of the items that are new."""
    refused: Findings
    """Those of them that are not taken."""
    lost: list[str]
    """Files that are new and cannot be read."""


def examine(night: Night, dataset: Dataset, seen: Mapping[str, Any], stamps: Stamps) -> Found:
    """Read a night's inbox, write the doctor's page, and sort what is new.

    Args:
        night: whose inbox it is.
        dataset: of the library.
        seen: what the last night left as `report`, empty for the first.
        stamps: of the files in the inbox, as they were listed.

    Raises:
        ValueError: if too much of what is new cannot be used, or replaces what people said
            before; the page is written all the same.
    """
    known, undone = seen.get("items", {}), {*seen.get("undone", ())}

    def is_seen(item: Item) -> bool:
        return known.get(item.path) == item.digest or item.digest in undone

    experiment, config = night.experiment, night.config.intake
    reading = read_inbox(night.inbox, stamps, config, experiment.data, is_seen)
    found = sort_items(
        reading.items,
        dataset,
        config.new_classes,
        look_alike=experiment.data.near_duplicates,
        needs_labels=not experiment.oracle.asks_people,
    )
    doctor_uri = _write_page(night, reading, found)
    broken = broken_files(reading.findings, stamps)
    new = _find_new(reading, found, known, undone, broken, config)
    _check_limits(new, found, dataset, config)
    taken = [item for item in found.taken if item.path in new.paths]
    return Found(
        taken=taken,
        num_refused=len(new.refused) + len(new.lost),
        text=_text(night, taken, new.refused, new.lost),
        doctor_uri=doctor_uri,
        report={
            "files": seen.get("files", {}) | {name: s.text for name, s in stamps.items()},
            "items": known | new.digests | new.broken,
            "undone": sorted(undone),
            "taken": [item.path for item in taken],
            "refused": [one._asdict() for one in _all_refused(reading, found)],
        },
    )


def _find_new(
    reading: Reading,
    found: Sorted,
    known: Mapping[str, str],
    undone: set[str],
    broken: dict[str, str],
    config: IntakeConfig,
) -> New:
    """Tell what is new from what earlier nights have seen, and from what was undone.

    What is refused is new again where the limits have changed: it may be taken by then.
    """
    digests = dict(reading.digests)
    old = {path for path, digest in digests.items() if digest in undone}
    key = digest_of(asdict(config))[:16]
    digests |= {one.path: f"{digests[one.path]} {key}" for one in found.refused}
    chosen = {item.path for item in reading.items} - old
    paths = {path for path in chosen if known.get(path) != digests[path]}
    refused = [one for one in found.refused if one.path in paths]
    lost = [path for path, stamp in broken.items() if known.get(path) != stamp]
    return New(digests, broken, paths, refused, lost)


def _check_limits(new: New, found: Sorted, dataset: Dataset, config: IntakeConfig) -> None:
    num_unknown = sum(one.kind in UNKNOWN for one in new.refused)
    check_shares(len(new.paths), len(new.lost), num_unknown, config)
    num_boxed = dataset.boxes["image_id"].nunique()
    check_replaced("boxes", found.other_boxes & new.paths, num_boxed, config)
    num_labelled = int(dataset.images["image_label"].count())
    check_replaced("labels", found.other_label & new.paths, num_labelled, config)


def _all_refused(reading: Reading, found: Sorted) -> Findings:
    broken = [one for one in reading.findings if one.kind in BROKEN]
    return sorted({*broken, *found.refused})


def _text(night: Night, taken: list[Item], refused: Findings, lost: list[str]) -> str:
    """Say what a night has taken, and what it has not."""
    boxed = sum(bool(item.boxes) for item in taken)
    said = f"{len(taken)} images are new in {night.inbox}, {boxed} of them with boxes"
    kinds = Counter(one.kind.replace("_", " ") for one in refused)
    if lost:
        kinds["cannot be read"] = len(lost)
    if kinds:
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        said += f"; not taken: {listed}"
    return f"{said}."


def _write_page(night: Night, reading: Reading, found: Sorted) -> str:
    """Write the doctor's page about the whole inbox; return where it is."""
    place = "images/" if any(name.startswith("images/") for name in reading.image_uris) else ""
    own = [Finding(one.kind, f"{place}{one.path}", one.detail) for one in found.refused]
    findings = sorted([*reading.findings, *own])
    page = build_doctor_page(
        Diagnosis(night.inbox, None, by_kind(findings), None, reading.image_uris),
        f"{len(reading.items)} images of the inbox can be read, {len(own)} of them are not taken.",
        storage.read_bytes,
    )
    uri = night.library.doctor(night.experiment_id)
    storage.write_bytes(uri, page.encode())
    log.info("The doctor's page: %s", uri)
    return uri


def forget_undone(night: Night, records: Sequence[Mapping[str, Any]], number: int) -> str:
    """Write down that what was taken after a night is not taken again; return the intake's name.

    Args:
        night: whose library it is.
        records: of all nights, the oldest first.
        number: of the night that is gone back to.
    """
    intakes = [
        (one["number"], storage.read_json(night.library.intake(one["intake"]))) for one in records
    ]
    undone = {digest for at, one in intakes if at == number for digest in one.get("undone", ())}
    for at, one in intakes:
        undone |= {one["items"][path] for path in one["taken"] if at > number}
    report = {**intakes[-1][1], "taken": [], "undone": sorted(undone)}
    name = digest_of(report)[:16]
    storage.write_json(night.library.intake(name), report)
    return name
