"""Which image an annotation means: by the name of its file, or by the name inside of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

_IMAGE_FOLDER = {"annotations": "images", "labels": "images", "xml": "images"}


class Match(NamedTuple):
    """The images that a name may mean, and how it had to be bent to mean them."""

    image_ids: tuple[str, ...]
    """None, one, or several that it fits equally well."""
    kind: str | None = None
    """A key of findings.KINDS, such as case_differs; None for an exact match."""
    is_near: bool = False
    """Whether a file is called like the images by its whole path."""


class ImageIndex:
    """Finds images by what people and programs call them.

    Args:
        image_ids: paths of images, below one folder.
    """

    def __init__(self, image_ids: Iterable[str]) -> None:
        self._ids = set(image_ids)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_bare_stem: dict[str, list[str]] = defaultdict(list)
        for image_id in sorted(self._ids):
            name = name_of(image_id)
            self._by_stem[stem(image_id)].append(image_id)
            self._by_name[name].append(image_id)
            self._by_bare_stem[stem(name)].append(image_id)

    @cached_property
    def _by_lower(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for image_id in sorted(self._ids):
            name = name_of(image_id).lower()
            for form in {name, stem(name)}:
                found[form].append(image_id)
        return found

    def by_stem(self, path: str) -> Match:
        """Return the images called like a file: of its path without suffix, or of its name alone.

        A folder `annotations` or `labels` of the path stands for `images`.

        Args:
            path: of the file, as `annotations/a/b.xml` for the image `a/b.jpg`.
        """
        for form in _stems(path):
            if found := self._by_stem.get(form):
                return Match(tuple(found), is_near=True)
        return Match(tuple(self._by_bare_stem.get(name_of(stem(path)), ())))

    def by_claim(self, claim: str) -> Match:
        r"""Return the images that a name inside a file means.

        Leading folders are another machine's where they are not the data folder's. Only the
        index is looked into, so no name leads to any other file.

        Args:
            claim: such as `C:\photos\A.JPG`, `images/a.jpg`, `a`.
        """
        path = claim.strip().replace("\\", "/")
        if path.removeprefix("images/") in self._ids:
            return Match((path.removeprefix("images/"),))
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        foreign = "foreign_path" if "/" in path else None
        for start in range(len(parts) - 1):
            if (shorter := "/".join(parts[start:])) in self._ids:
                return Match((shorter,), foreign)
        return self._by_last_part(parts[-1], foreign) if parts else Match(())

    def _by_last_part(self, name: str, foreign: str | None) -> Match:
        if found := self._by_name.get(name):
            return Match(tuple(found), foreign)
        if found := self._by_bare_stem.get(name):
            return Match(tuple(found), "no_suffix")
        return Match(tuple(self._by_lower.get(name.lower(), ())), "case_differs")


def _stems(path: str) -> tuple[str, str, str]:
    """Return what the image of an annotation file may be called, without suffix."""
    whole = stem(path)
    below = whole.partition("/")[2] or whole
    beside = "/".join(_IMAGE_FOLDER.get(part.lower(), part) for part in whole.split("/"))
    return below, whole, beside


def stem(path: str) -> str:
    """Return a path without its last suffix."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def name_of(path: str) -> str:
    """Return the last part of a path."""
    return path.rpartition("/")[2]


def parent(path: str) -> str:
    """Return a path without its last part."""
    return path.rpartition("/")[0]
