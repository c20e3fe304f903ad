"""The review queue: which images people are asked about, in which order, and what to do.

An image is asked about once. Never again where a person has answered, nor where one has answered
for an image that looks alike; nor where a box that is almost surely right was adopted, or waits for
a later round because its class has had its share.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from boxloop.data.boxes import iou_of_pairs
from boxloop.data.dataset import DOUBTFUL, HUMAN, REVIEWED, XYXY, is_in
from boxloop.oracle.acquisition import binary_entropy, order_by_strategy
from boxloop.oracle.adoptions import REJECTED, WITHDRAWN
from boxloop.oracle.answers import DRAW, VERIFY
from boxloop.oracle.gates import OVER_CAP
from boxloop.oracle_settings import ReviewConfig

QUEUE_COLUMNS = {
    "image_id": "string",
    "image_label": "string",  # null: not known
    "class_name": "string",  # of the proposed box; null, like all of it: nothing to show
    "score": "float64",
    "xmin": "float64",  # pixels, 0-based, max edge exclusive
    "ymin": "float64",
    "xmax": "float64",
    "ymax": "float64",
    "p_right": "float64",  # probability in [0, 1] that the proposed box is right
    "action": "string",  # verify or draw
    "reason": "string",  # why it is asked, in words
    "value": "float64",  # expected gain a second
    "seconds": "float64",  # that the answer is expected to take
}
SURE = 0.9
"""A box that is right with this probability, adopted or waiting, is not asked about."""
SAME_BOX = 0.5  # IoU from which two rounds found the same
UNSURE_WEIGHT, CHANGED_WEIGHT = 0.25, 0.5
"""Against the chance that the box is wrong or missing. So images in which nothing was found and
those in the balance are worth about the same a second, and neither crowd out the other."""
_RANKS = {REJECTED: 1, WITHDRAWN: 2}  # boxes that stand come first


def build_queue(
    adoptions: pd.DataFrame,
    detections: pd.DataFrame,
    images: pd.DataFrame,
    boxes: pd.DataFrame,
    *,
    config: ReviewConfig,
    seed: int,
    asked: set[str] | None = None,
    previous: pd.DataFrame | None = None,
    embeddings: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the images that people are asked about, the most valuable first.

    An answer's value is what it is expected to bring for its seconds: the more, the less likely
    the box is right and the less sure that is, if two rounds on end found different things, and
    the fewer boxes the class has. Each image that is taken counts as a box for those after it.

    Args:
        adoptions: of this round, before people were asked; with ADOPTION_COLUMNS.
        detections: of this round in the pool, with DETECTION_COLUMNS.
        images: of the pool, with IMAGE_COLUMNS; others are not asked about.
        boxes: of the dataset version that the round trains on, with BOX_COLUMNS.
        config: how many images, by which strategy, and what an answer costs.
        seed: decides between images that are worth the same.
        asked: image_ids that people have answered for in earlier rounds.
        previous: adoptions of the round before.
        embeddings: image_id, and the image's vector: one column of sequences, or one a dimension.
            Needed for the strategy `diversity` alone; images without one are not asked about then.

    Returns:
        A table with QUEUE_COLUMNS, one row an image, at most `config.items`.

    Raises:
        ValueError: if the strategy is `diversity` and there are no embeddings, or bad ones.

    Source of the choice between verifying and drawing: Konyushkova et al., "Learning Intelligent
    Dialogs for Bounding Box Annotation", CVPR 2018: the cheaper one in expectation first.
    """
    generator = np.random.default_rng(seed)
    found = _askable(_shown_rows(adoptions), images, boxes, asked or set())
    found = _with_values(_with_costs(_with_changes(found, previous), config))
    found = _most_valuable_of_alike(found, generator)
    found["value"] *= _rarity(found["class"], boxes)
    found["reason"] = _reasons(found)
    queue = order_by_strategy(
        found, detections, embeddings, config=config, generator=generator
    ).head(config.items)
    return queue[list(QUEUE_COLUMNS)].astype(QUEUE_COLUMNS).reset_index(drop=True)


def _most_valuable_of_alike(found: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """Return one row of each group of images that look alike, in an order of chance where equal."""
    shuffled = found.iloc[generator.permutation(len(found))]
    ranked = shuffled.sort_values("value", ascending=False, kind="stable")
    return ranked.drop_duplicates("group").reset_index(drop=True)


def _with_values(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the class that an answer serves, and what it brings a second."""
    name = found["image_label"].fillna(found["class_name"])
    return found.assign(**{"class": name, "value": _gains(found) / found["seconds"]})


def _shown_rows(adoptions: pd.DataFrame) -> pd.DataFrame:
    """Return the row to show of each image, sorted by image_id.

    That is the least sure of the boxes that stand, since people's word goes for that box alone;
    else the detection that came closest; a box that was withdrawn where there is nothing else.
    """
    rank = adoptions["verdict"].map(_RANKS).fillna(0)
    doubt = adoptions["p_right"].where(rank == 0, -adoptions["p_right"])
    ranked = adoptions.assign(rank=rank, doubt=doubt).sort_values(
        ["image_id", "rank", "doubt", "score", "class_name", *XYXY],
        ascending=[True, True, True, False, True, True, True, True, True],
    )
    was_withdrawn = adoptions.loc[adoptions["verdict"] == WITHDRAWN, "image_id"]
    shown = ranked.drop_duplicates("image_id").reset_index(drop=True)
    shown["was_withdrawn"] = is_in(shown["image_id"], was_withdrawn)
    return shown.drop(columns=["rank", "doubt"])


def _askable(
    shown: pd.DataFrame, images: pd.DataFrame, boxes: pd.DataFrame, asked: set[str]
) -> pd.DataFrame:
    """Leave out what people have answered, what looks like that, and what is sure."""
    by_people = boxes.loc[boxes["origin"].isin([HUMAN, REVIEWED]), "image_id"]
    answered = pd.concat([by_people, pd.Series(sorted(asked), dtype="string")])
    groups = images["group"].fillna(images["image_id"])
    known = images.assign(group=groups)[["image_id", "group", "split"]]
    done = known.loc[is_in(known["image_id"], answered), "group"]
    pool = known[(known["split"] == "pool") & ~is_in(known["group"], done)]
    is_found = shown["is_adopted"] | (shown["reason"] == OVER_CAP).fillna(False)
    is_sure = is_found & (shown["p_right"].fillna(1.0) >= SURE)
    return shown[~is_sure].merge(pool[["image_id", "group"]], on="image_id")


def _with_changes(found: pd.DataFrame, previous: pd.DataFrame | None) -> pd.DataFrame:
    """Add `is_changed`: whether the round before found another class or place, or one did not."""
    if previous is None:
        return found.assign(is_changed=found["was_withdrawn"])
    columns = ["image_id", "class_name", *XYXY]
    pairs = found[columns].merge(previous[columns], on="image_id", suffixes=("", "_before"))
    now = pairs[XYXY].to_numpy(float, na_value=np.nan)
    before = pairs[[f"{edge}_before" for edge in XYXY]].to_numpy(float, na_value=np.nan)
    names, names_before = pairs["class_name"].fillna(""), pairs["class_name_before"].fillna("")
    is_there = np.nan_to_num(iou_of_pairs(now, before)) >= SAME_BOX
    is_same = (names == names_before).to_numpy(bool) & (is_there | (names == "").to_numpy(bool))
    was_found = is_in(found["image_id"], pairs.loc[is_same, "image_id"])
    was_judged = is_in(found["image_id"], previous["image_id"])
    return found.assign(is_changed=(was_judged & ~was_found) | found["was_withdrawn"])


def _with_costs(found: pd.DataFrame, config: ReviewConfig) -> pd.DataFrame:
    """Add what people are asked to do, and the seconds that it should take them.

    Showing a box first costs a look, and drawing as well where it is wrong. So it pays where the
    box is right with more than the ratio of the two times.
    """
    chance = found["p_right"].fillna(0.0).astype(float)
    is_shown = found["class_name"].notna() & (chance > config.verify_seconds / config.draw_seconds)
    verified = config.verify_seconds + (1 - chance) * config.draw_seconds
    return found.assign(
        action=np.where(is_shown, VERIFY, DRAW),
        seconds=np.where(is_shown, verified, config.draw_seconds),
    )


def _gains(found: pd.DataFrame) -> pd.Series:
    """Return what an answer brings, whatever its class: 1 where nothing was ever detected."""
    chance = found["p_right"].fillna(0.0).astype(float).clip(0, 1)
    unsure = UNSURE_WEIGHT * binary_entropy(chance.to_numpy())
    return (1 - chance) + unsure + CHANGED_WEIGHT * found["is_changed"].astype(float)


def _rarity(classes: pd.Series, boxes: pd.DataFrame) -> pd.Series:
    """Return how much more an image of its class weighs, given those before it in the table.

    Source: the repeat factor of Gupta et al., "LVIS", CVPR 2019, a square root of frequencies;
    here against the mean of all classes.
    """
    counts = boxes.loc[boxes["origin"] != DOUBTFUL, "class_name"].value_counts()
    mean = float(counts.mean()) if len(counts) else 0.0
    own = classes.map(counts).fillna(0.0).astype(float) + classes.groupby(classes).cumcount()
    rarity = ((mean + 1) / (own + 1)) ** 0.5
    return rarity.where(classes.notna(), 1.0)


def _reasons(found: pd.DataFrame) -> pd.Series:
    """Say in words why an image is asked about."""
    chance = found["p_right"].map("{:.2f}".format, na_action="ignore").astype("string")
    sure = "right with probability " + chance.fillna("0")
    label, name = found["image_label"].astype("string"), found["class_name"].astype("string")
    told: list[tuple[pd.Series, pd.Series | str]] = [
        (found["was_withdrawn"], "its box was withdrawn"),
        (name.isna(), "nothing detected"),
        (found["is_changed"], "two rounds disagree; " + sure),
        (found["is_adopted"], "adopted, but only " + sure),
        ((name != label).fillna(False), "detected as " + name + ", labelled " + label),
    ]
    reasons = sure
    for is_so, text in reversed(told):
        reasons = reasons.mask(is_so.astype(bool), text)
    return reasons
