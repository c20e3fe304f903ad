"""Which image an annotation means: by the name of its file, or by the name inside of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple


class Match(NamedTuple):
    """The images that a name may mean, and how it had to be bent to mean them."""

    image_ids: tuple[str, ...]
    """None, one, or several that it fits equally well."""
    kind: str | None = None
    """A key of findings.KINDS, such as case_differs; None for an exact match."""


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
            name = image_id.rpartition("/")[2]
            self._by_stem[stem(image_id)].append(image_id)
            self._by_name[name].append(image_id)
            self._by_bare_stem[stem(name)].append(image_id)

    @cached_property
    def _by_lower(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for image_id in sorted(self._ids):
            name = _name(image_id).lower()
            for form in {name, stem(name)}:
                found[form].append(image_id)
        return found

    def by_stem(self, path: str) -> Match:
        """Return the images called like a file: of its path without suffix, or of its name alone.

        Args:
            path: below the folder of annotations, as `a/b.xml` for the image `a/b.jpg`.
        """
        found = self._by_stem.get(stem(path)) or self._by_bare_stem.get(stem(_name(path)))
        return Match(tuple(found or ()))

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
        for start in range(1, len(parts) - 1):
            if (shorter := "/".join(parts[start:])) in self._ids:
                return Match((shorter,), foreign)
        return self._by_last_part(parts[-1], foreign) if parts else Match(())

    def _by_last_part(self, name: str, foreign: str | None) -> Match:
        if found := self._by_name.get(name):
            return Match(tuple(found), foreign)
        if found := self._by_bare_stem.get(name):
            return Match(tuple(found), "no_suffix")
        return Match(tuple(self._by_lower.get(name.lower(), ())), "case_differs")


def stem(path: str) -> str:
    """Return a path without its last suffix."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
