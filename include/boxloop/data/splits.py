"""Deal images to splits, so that an image's side hangs on the seed and its own name alone.

A group of near duplicates is held out where the hash of the seed and of the image that speaks for
it, a number in [0, 1), is below the share: images that are added or go away change nothing for
other groups. Only classes too small for that are looked at as a whole. `previous` keeps every image
where it was, whatever joins its group or class.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pandas as pd

from boxloop.data.dataset import Dataset

HELD_OUT = ("test", "validation")  # the stronger first: it keeps what both want
SPLITS = ("train", "pool", "validation", "test")
TOTAL = "Total"

_NO_CLASS = "(no class)"
_COLUMNS = {"train": "Train", "validation": "Validate", "pool": "Pool", "test": "Test"}


def assign_splits(
    images: pd.DataFrame,
    *,
    seed: int,
    test_share: float,
    validation_share: float,
    previous: Mapping[str, str] | None = None,
) -> pd.Series:
    """Return each image's split, with test and validation dealt where nobody is given to them.

    What is given wins, but for `train` where a held-out split has to be dealt. Then the previous
    split wins, `pool` and `train` being one side. Boxed images that are new to a group follow
    their near duplicates, to the stronger split where those are in several.

    Args:
        images: image_id, stratum, group, is_boxed, and given: its split, or null.
        seed: of the dealing.
        test_share: of the boxed images.
        validation_share: of the boxed images that are not in the test split.
        previous: image_id to split, of an earlier version of the data set. Without it, an image
            added to a class of few groups, or to a group, may move others of them.

    Returns:
        train, pool, validation or test, indexed as `images`. A train image without boxes plays
        the pool; one that was held out before stays there, boxed or not.
    """
    missing = [split for split in HELD_OUT if not (images["given"] == split).any()]
    known = _known(images, previous or {}, missing)
    role = images["given"].fillna("train")
    role = role.mask((role == "train") & ~images["is_boxed"], "pool")
    role = role.mask(known.isin(HELD_OUT), known)
    shares = {"test": test_share, "validation": validation_share}
    for number_left, split in zip(range(len(missing), 0, -1), missing, strict=True):
        there = images[role.isin(["train", split])]
        decided = (known[there.index] == split).where(known[there.index].notna())
        is_dealt = deal(
            there, shares[split], seed=seed, name=split, leave=number_left, decided=decided
        )
        role = role.mask(is_dealt.reindex(role.index, fill_value=False), split)
    return role


def deal(
    images: pd.DataFrame,
    share: float,
    *,
    seed: int,
    name: str,
    leave: int,
    decided: pd.Series | None = None,
) -> pd.Series:
    """Return which images are dealt: about `share` of them, in whole groups.

    A stratum with none below the share gives its group of lowest rank; its last `leave` groups
    always stay. Where all strata are too small for that, they are dealt as one. What a smaller
    share takes, a larger one takes too.

    Args:
        images: image_id, stratum and group; a group has the stratum that most of its images have.
        share: of the groups, in (0, 1].
        seed: another seed, another choice.
        name: of what is dealt; another name, another choice.
        leave: groups that must stay of every stratum.
        decided: true where an image is dealt already, false where it stays, null where it is
            free; by default all are free.

    Returns:
        Booleans, indexed as `images`.
    """
    if decided is None:
        decided = pd.Series(pd.NA, index=images.index)
    decided = decided.astype("Float64")
    group = pd.Series(pd.factorize(images["group"], sort=True)[0], index=images.index)
    groups = pd.DataFrame(
        {
            "rank": [_rank(f"{seed}/{name}/{one}") for one in _speakers(images, group)],
            "stratum": _most_frequent(group, images["stratum"]),
            "decided": decided.groupby(group).max(),
        }
    ).sort_values("rank", kind="stable")
    is_picked = _pick(groups, share, leave)
    if not (is_picked | (groups["decided"] == 1).fillna(False)).any():
        is_picked = _pick(groups.assign(stratum=""), share, leave)
    return decided.astype("boolean").fillna(group.map(is_picked)).astype(bool)


def main_classes(boxes: pd.DataFrame) -> pd.Series:
    """Return the most frequent class of every image's boxes; of equals, the first by name.

    Args:
        boxes: image_id and class_name.
    """
    return _most_frequent(boxes["image_id"], boxes["class_name"])


def name_groups(*keyings: Mapping[str, str]) -> dict[str, str]:
    """Return each image's group, named after its first image: numbers may change, images not.

    Args:
        keyings: each from image_id to what images that belong together have in common; the first
            one has every image. Images in one group by any of them are in one group.
    """
    leader: dict[str, str] = {image_id: image_id for image_id in keyings[0]}

    def find(image_id: str) -> str:
        while leader[image_id] != image_id:
            leader[image_id] = image_id = leader[leader[image_id]]
        return image_id

    for keying in keyings:
        first: dict[str, str] = {}
        for image_id, key in keying.items():
            one, other = find(image_id), find(first.setdefault(key, image_id))
            leader[max(one, other)] = min(one, other)
    return {image_id: find(image_id) for image_id in leader}


def split_table(dataset: Dataset) -> pd.DataFrame:
    """Return how many images of every class are in which split, a last row for all.

    An image counts for its image-level label or, without one, for the main class of the boxes
    that people drew.

    Returns:
        ID, NAME, Train, Validate, Pool and Test. ID is that of the label map, null for a class
        that no training box has.
    """
    human = dataset.boxes[dataset.boxes["origin"] == "human"]
    images = dataset.images
    label = images["image_label"].fillna(images["image_id"].map(main_classes(human)))
    counts = pd.crosstab(label.fillna(_NO_CLASS), images["split"])
    known = dataset.class_names
    names = [*known, *sorted(set(counts.index) - set(known))]
    table = counts.reindex(names, columns=list(_COLUMNS), fill_value=0).rename(columns=_COLUMNS)
    table.loc[TOTAL] = table.sum()
    table = table.rename_axis(index="NAME", columns=None).reset_index()
    table.insert(0, "ID", pd.Series(range(1, len(known) + 1), dtype="Int64").reindex(table.index))
    return table


def _known(images: pd.DataFrame, previous: Mapping[str, str], missing: list[str]) -> pd.Series:
    """Return the split each image is bound to by an earlier version; null where it is free."""
    if not previous:
        return pd.Series(pd.NA, index=images.index, dtype="string")
    own = images["image_id"].map(dict(previous)).replace("pool", "train").astype("string")
    strength = own.map({"train": 0, "validation": 1, "test": 2}).groupby(images["group"]).max()
    of_group = images["group"].map(strength).map({0: "train", 1: "validation", 2: "test"})
    known = own.fillna(of_group.where(images["is_boxed"]).astype("string"))
    is_free = images["given"].isna() | (
        (images["given"] == "train") & known.isin(["train", *missing])
    )
    return known.where(is_free.astype(bool))


def _most_frequent(keys: pd.Series, values: pd.Series) -> pd.Series:
    """Return the value that most rows of a key have; of equals, the first in order."""
    codes, names = pd.factorize(values, sort=True)
    pairs = pd.DataFrame({"key": keys, "code": codes})
    counts = pairs.groupby(["key", "code"]).size().rename("count").reset_index()
    counts = counts.sort_values(["count", "code"], ascending=[False, True], kind="stable")
    first = counts.drop_duplicates("key").set_index("key")["code"].sort_index()
    return pd.Series(names.take(first.to_numpy()), index=first.index)


def _speakers(images: pd.DataFrame, group: pd.Series) -> list[str]:
    """Return the image of each group whose own hash is the least: new ones seldom replace it.

    That hash is another than the one that deals: the least of many would be below any share.
    """
    own = pd.Series([_rank(image_id) for image_id in images["image_id"].tolist()], images.index)
    return list(images.loc[own.groupby(group).idxmin(), "image_id"])


def _rank(name: str) -> float:
    """Return a number in [0, 1) that looks random, always the same for a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48


def _pick(groups: pd.DataFrame, share: float, leave: int) -> pd.Series:
    """Return which groups are dealt beyond those that are, given their rows in order of rank."""
    free = groups[groups["decided"].isna()]
    staying = groups.loc[groups["decided"] == 0, "stratum"].value_counts()
    served = groups.loc[groups["decided"] == 1, "stratum"]
    strata = free.groupby("stratum", sort=False)["rank"]
    place = strata.cumcount()
    kept = (leave - free["stratum"].map(staying).astype("Float64").fillna(0)).clip(lower=0)
    is_wanted = (free["rank"] < share) | ((place == 0) & ~free["stratum"].isin(served))
    is_dealt = is_wanted & (place < strata.transform("size") - kept)
    return is_dealt.reindex(groups.index, fill_value=False)
