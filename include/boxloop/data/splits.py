"""Deal images to splits: stratified, near duplicates together, from a seed alone."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd

HELD_OUT = ("test", "validation")  # the stronger first: it keeps what both want
SPLITS = ("train", "pool", "validation", "test")


class Card(NamedTuple):
    """An image as the dealer sees it: what to stratify by, and its near-duplicate group."""

    image_id: str
    stratum: str
    group: str


def deal(cards: Iterable[Card], share: float, *, seed: int, leave: int) -> set[str]:
    """Return the image_ids of about `share` of the images of every stratum.

    A stratum gives one group or more as long as `leave` of its groups stay behind. Where all are
    too small for that, they are dealt as one. Which groups go is decided by the hash of the seed
    and the group's name, so it depends neither on the order of the images nor on the share: what
    a smaller share takes, a larger one takes too.

    Args:
        cards: the images; a group belongs to the stratum that most of its images are in.
        share: of the images, in (0, 1].
        seed: another seed, another choice.
        leave: groups that must be left of every stratum.
    """
    groups: dict[str, list[Card]] = defaultdict(list)
    for card in cards:
        groups[card.group].append(card)
    strata: dict[str, list[list[str]]] = defaultdict(list)
    for name in sorted(groups, key=lambda name: _rank(seed, name)):
        strata[_stratum(groups[name])].append(sorted(card.image_id for card in groups[name]))
    dealt = {image_id for members in strata.values() for image_id in _pick(members, share, leave)}
    if dealt:
        return dealt
    return set(_pick([group for members in strata.values() for group in members], share, leave))


def assign_splits(
    images: pd.DataFrame, *, seed: int, test_share: float, validation_share: float
) -> pd.Series:
    """Return each image's split, with test and validation dealt where nobody is in them.

    Args:
        images: image_id, stratum, group, is_boxed, and given: its split, or null.
        seed: of the dealing.
        test_share: of the boxed images.
        validation_share: of the boxed images that are not in the test split.

    Returns:
        train, pool, validation or test, indexed as `images`. A train image without boxes plays
        the pool.
    """
    role = images["given"].fillna("train")
    role = role.mask((role == "train") & ~images["is_boxed"], "pool")
    missing = [split for split in HELD_OUT if not (role == split).any()]
    shares = {"test": test_share, "validation": validation_share}
    for number_left, split in zip(range(len(missing), 0, -1), missing, strict=True):
        cards = cards_of(images[role == "train"])
        dealt = deal(cards, shares[split], seed=seed, leave=number_left)
        role = role.mask(images["image_id"].isin(dealt), split)
    return role


def cards_of(images: pd.DataFrame) -> list[Card]:
    """Return the cards of a table with image_id, stratum and group."""
    columns = images[["image_id", "stratum", "group"]]
    return [Card(*row) for row in columns.itertuples(index=False)]


def name_groups(keys: Mapping[str, str]) -> dict[str, str]:
    """Return each image's group, named after its first image: numbers may change, images not.

    Args:
        keys: image_id to whatever near duplicates have in common.
    """
    first: dict[str, str] = {}
    for image_id in sorted(keys):
        first.setdefault(keys[image_id], image_id)
    return {image_id: first[key] for image_id, key in keys.items()}


def _rank(seed: int, group: str) -> str:
    return hashlib.sha256(f"{seed}/{group}".encode()).hexdigest()


def _stratum(group: list[Card]) -> str:
    counts = Counter(card.stratum for card in group)
    return min(counts, key=lambda stratum: (-counts[stratum], stratum))


def _pick(groups: list[list[str]], share: float, leave: int) -> list[str]:
    quota = max(1, int(share * sum(map(len, groups)) + 0.5))
    picked: list[str] = []
    for group in groups[: max(0, len(groups) - leave)]:
        if len(picked) >= quota:
            break
        picked += group
    return picked
