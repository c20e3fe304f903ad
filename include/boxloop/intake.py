"""Which images of an inbox a library takes, and why not the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from boxloop import storage
from boxloop.data.dataset import Dataset
from boxloop.data.findings import Finding, Findings
from boxloop.data.formats.annotation import Box
from boxloop.data.images import read_facts
from boxloop.data.near_duplicates import group_near_duplicates
from boxloop.data.splits import HELD_OUT
from boxloop.inbox import Item
from boxloop.library import by_content

UNKNOWN = frozenset({"unknown_class", "unknown_label"})
"""Kinds of findings that an image costs itself by: it is of a class that nobody knows."""


class Sorted(NamedTuple):
    """What comes of the items of an inbox."""

    taken: Sequence[Item]
    refused: Findings
    """One for each item that is not taken, its path that of the item."""
    other_boxes: frozenset[str]
    """Paths of those taken that replace what people drew in an image of the library."""
    other_label: frozenset[str]
    """The same for the label of an image."""


def sort_items(
    items: Iterable[Item],
    dataset: Dataset,
    new_classes: Sequence[str],
    *,
    look_alike: bool,
    needs_labels: bool = True,
) -> Sorted:
    """Tell which items of an inbox a library takes, and why not the others.

    Args:
        items: each of another content.
        dataset: of the library.
        new_classes: that may be added.
        look_alike: whether near duplicates of held-out images are refused.
        needs_labels: whether images with neither boxes nor a label are; people need none.
    """
    items = list(items)
    boxed = {box.class_name for item in items for box in item.boxes}
    classes = {*dataset.class_names, *(boxed & set(new_classes))}
    known = _known(dataset)
    twins = _near_held_out(items, dataset) if look_alike else {}
    refused: Findings = []
    for item in items:
        there = known.get(item.facts.sha256)
        found = _why_not(item, there, classes, twins.get(item.path))
        if found and (needs_labels or found[0] != "no_label"):
            refused.append(Finding(found[0], item.path, found[1]))
    out = {finding.path for finding in refused}
    taken = [item for item in items if item.path not in out]
    met = [(item, known[item.facts.sha256]) for item in taken if item.facts.sha256 in known]
    other_boxes = frozenset(item.path for item, there in met if there.has_other_boxes(item))
    other_label = frozenset(item.path for item, there in met if there.has_other_label(item))
    return Sorted(taken, refused, other_boxes, other_label)


class _There(NamedTuple):
    """A picture that is in the library already."""

    split: str
    label: str | None
    boxes: frozenset[Box]

    def has_other_boxes(self, item: Item) -> bool:
        """Whether an item would replace boxes."""
        return bool(self.boxes and item.boxes) and frozenset(item.boxes) != self.boxes

    def has_other_label(self, item: Item) -> bool:
        """Whether an item would replace a label; those of held-out images stay."""
        if self.split in HELD_OUT or None in (self.label, item.label):
            return False
        return item.label != self.label


def _known(dataset: Dataset) -> Mapping[str, _There]:
    """Return sha256 to what the library has of that picture."""
    said: dict[str, set[Box]] = {}
    columns = ["image_id", *Box._fields]
    for image_id, *box in dataset.boxes[columns].itertuples(index=False):
        said.setdefault(image_id, set()).add(Box(*box))
    names = by_content(dataset, "image_id")
    images = dataset.images.set_index("image_id")
    splits, labels = images["split"].to_dict(), images["image_label"].dropna().to_dict()
    return {
        key: _There(splits[name], labels.get(name), frozenset(said.get(name, ())))
        for key, name in names.items()
    }


def _why_not(
    item: Item, there: _There | None, classes: set[str], twin: str | None
) -> tuple[str, str] | None:
    """Return kind and reason of what an item is not taken for, None where it is.

    Args:
        item: of an inbox.
        there: what the library has of its picture already.
        classes: that are known or may be added.
        twin: what it is a near duplicate of, in a held-out split.
    """
    unknown = sorted({box.class_name for box in item.boxes} - classes)
    if there is not None and there.split == "test":
        is_same = not item.boxes or frozenset(item.boxes) == there.boxes
        return None if is_same else ("of_test", "it is in the fixed test set, whose boxes stay")
    if there is not None and there.split == "validation" and there.has_other_boxes(item):
        return "of_validation", "it is a validation image, which measures: its boxes stay"
    if unknown:
        return "unknown_class", f"boxes of {', '.join(map(repr, unknown))}: {_ALLOW}"
    if not item.boxes and item.label is not None and item.label not in classes:
        return "unknown_label", f"its label is {item.label!r}: {_ALLOW}"
    return None if there is not None else _why_not_new(item, twin)


def _why_not_new(item: Item, twin: str | None) -> tuple[str, str] | None:
    if item.split == "test":
        return "of_test", "new images do not join the fixed test set: give it another split"
    if twin:
        return "near_duplicate", f"near duplicate of {twin}, which is held out"
    if not item.boxes and item.label is None:
        return "no_label", "no image-level label: name its class in image_labels.csv or by folder"
    return None


_ALLOW = "no class of the library; intake.new_classes may allow it, once there are boxes of it"


def _near_held_out(items: Sequence[Item], dataset: Dataset) -> dict[str, str]:
    """Return the paths of items that look like a held-out image, with the image."""
    hashes = {f"/{item.path}": item.facts.dhash for item in items if item.facts.dhash}
    if not hashes:
        return {}
    held_out = dataset.images[dataset.images["split"].isin(HELD_OUT)]
    for image_id, uri in zip(held_out["image_id"], held_out["uri"], strict=True):
        if found := read_facts(storage.read_bytes(uri), hash_pixels=True).dhash:
            hashes[image_id] = found
    groups = group_near_duplicates(hashes)
    held = {groups[name]: name for name in sorted(hashes) if not name.startswith("/")}
    return {n[1:]: held[g] for n, g in groups.items() if n.startswith("/") and g in held}
