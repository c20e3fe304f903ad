"""Annotations of many images in one file, while they are being read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from boxloop.data.findings import Finding
from boxloop.data.formats.annotation import Annotation, Box


@dataclass
class Draft:
    """An annotation that grows box by box; its fields are those of Annotation."""

    image: str
    boxes: list[Box] = field(default_factory=list)
    width: int | None = None
    height: int | None = None
    image_label: str | None = None
    is_relative: bool = False
    is_inclusive: bool = False
    findings: list[Finding] = field(default_factory=list)

    def add(self, found: Box | Finding) -> None:
        """Take a box, or what was found in its place."""
        if isinstance(found, Box):
            self.boxes.append(found)
        else:
            self.findings.append(found)


def finish(drafts: Iterable[Draft], strays: Sequence[Finding]) -> list[Annotation]:
    """Return the annotations of a file.

    Args:
        drafts: one for each image.
        strays: findings that are no image's; they go with the first one.

    Raises:
        ValueError: if there are strays and no image.
    """
    annotations = [
        Annotation(
            image=draft.image,
            boxes=tuple(draft.boxes),
            width=draft.width,
            height=draft.height,
            image_label=draft.image_label,
            is_relative=draft.is_relative,
            is_inclusive=draft.is_inclusive,
            findings=tuple(draft.findings),
        )
        for draft in drafts
    ]
    if not strays:
        return annotations
    if not annotations:
        raise ValueError(f"{strays[0].path}: {strays[0].detail}; and no other line names an image")
    first = annotations[0]
    return [replace(first, findings=(*strays, *first.findings)), *annotations[1:]]
