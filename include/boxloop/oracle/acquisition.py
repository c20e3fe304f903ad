"""Orders in which people may be asked about images: by doubt, by variety, by chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from boxloop.data.dataset import is_in
from boxloop.oracle_settings import ReviewConfig

_Vectors = NDArray[np.float64]


def order_by_strategy(
    found: pd.DataFrame,
    detections: pd.DataFrame,
    embeddings: pd.DataFrame | None,
    *,
    config: ReviewConfig,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Return images in the order of a strategy, at least the first `config.items` of them.

    Args:
        found: image_id, class (of the label, else of the detection), value, reason.
        detections: image_id, class_name, score.
        embeddings: see `build_queue`.
        config: the strategy and the number of images.
        generator: decides by chance where a strategy does.

    Raises:
        ValueError: if the strategy is `diversity` and there are no embeddings, or bad ones.
    """
    if config.strategy == "value":
        return found.sort_values("value", ascending=False, kind="stable")
    if config.strategy == "random":
        return found.iloc[generator.permutation(len(found))].assign(reason="drawn at random")
    if config.strategy == "diversity":
        return _diverse(found, embeddings, config.items, generator)
    in_pool = detections[is_in(detections["image_id"], found["image_id"])]
    doubts = _DOUBTS[config.strategy](in_pool)
    doubt = found["image_id"].map(doubts).fillna(_UNDETECTED[config.strategy]).astype(float)
    name = config.strategy.replace("_", " ")
    reason = f"{name} " + doubt.map("{:.2f}".format)
    ordered = found.assign(doubt=doubt, reason=reason)
    return ordered.sort_values("doubt", ascending=False, kind="stable")


def binary_entropy(chances: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the entropy of events with these probabilities, in bits: 1 for an even chance."""
    p = np.clip(chances, 1e-12, 1 - 1e-12)
    entropy: NDArray[np.float64] = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return entropy


def spread(vectors: _Vectors, number: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """Return the rows of `number` vectors that lie far from each other, in the order drawn.

    The first is drawn evenly, each other one with a chance that grows with the square of its
    distance from those drawn before.

    Args:
        vectors: shape (N, D), finite.
        number: how many; all of them where there are fewer.
        generator: draws.

    Source: Arthur and Vassilvitskii, "k-means++", SODA 2007, section 2.2.
    """
    number = min(number, len(vectors))
    drawn = np.empty(number, dtype=np.intp)
    squares = np.full(len(vectors), np.inf)
    for position in range(number):
        chances = np.ones(len(vectors)) if position == 0 else squares.copy()
        chances[drawn[:position]] = 0.0
        if not chances.sum() > 0:  # what is left equals what was drawn
            chances = np.ones(len(vectors))
            chances[drawn[:position]] = 0.0
        drawn[position] = generator.choice(len(vectors), p=chances / chances.sum())
        away = ((vectors - vectors[drawn[position]]) ** 2).sum(axis=1)
        squares = np.minimum(squares, away)
    return drawn


def _diverse(
    found: pd.DataFrame,
    embeddings: pd.DataFrame | None,
    items: int,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Return images that differ, the classes taking turns.

    Source: Yang et al., "Plug and Play Active Learning for Object Detection", CVPR 2024: k-means++
    within each category.
    """
    if embeddings is None:
        raise ValueError(
            "review.strategy is diversity, which needs an embedding of each pool image, and there "
            "are none: choose another strategy, such as value"
        )
    known = found[is_in(found["image_id"], embeddings["image_id"])].reset_index(drop=True)
    vectors = _vectors(embeddings, known["image_id"])
    classes = known["class"].fillna("").to_numpy(str)
    names, sizes = np.unique(classes, return_counts=True)
    quotas = _quotas(dict(zip(names.tolist(), sizes.tolist(), strict=True)), items)
    turns = np.full(len(known), len(known))
    for name, quota in quotas.items():
        rows = np.flatnonzero(classes == name)
        drawn = rows[spread(vectors[rows], quota, generator)]
        turns[drawn] = np.arange(len(drawn))
    chosen = known.assign(turn=turns, reason="unlike the others of its class")
    chosen = chosen[turns < len(known)]
    return chosen.sort_values(["turn", "value"], ascending=[True, False], kind="stable")


def _quotas(sizes: dict[str, int], items: int) -> dict[str, int]:
    """Deal a number of images to classes evenly; what one has not goes to the others."""
    quotas: dict[str, int] = {}
    by_size = sorted(sizes, key=lambda name: (sizes[name], name))
    for position, name in enumerate(by_size):
        share = -(-items // (len(sizes) - position))
        quotas[name] = min(sizes[name], share)
        items -= quotas[name]
    return quotas


def _vectors(embeddings: pd.DataFrame, image_ids: pd.Series) -> _Vectors:
    """Return the embeddings of images, shape (N, D), in their order."""
    own = embeddings.drop_duplicates("image_id").set_index("image_id").loc[image_ids.tolist()]
    try:
        columns = own.iloc[:, 0].tolist() if own.shape[1] == 1 else own.to_numpy()
        vectors = np.asarray(columns, dtype=np.float64).reshape(len(own), -1)
    except (TypeError, ValueError) as error:
        raise ValueError(f"embeddings: are not vectors of one length: {error}") from error
    if not np.isfinite(vectors).all():
        raise ValueError("embeddings: some are not finite; make them anew")
    return vectors


def _least_confidence(detections: pd.DataFrame) -> pd.Series:
    """Return how far the best detection of each image is from certain."""
    return 1 - detections.groupby("image_id")["score"].max()


def _entropy(detections: pd.DataFrame) -> pd.Series:
    """Return the sum of each image's detections' entropies.

    Source: Brust et al., "Active Learning for Deep Object Detection", VISAPP 2019, section 3.2: a
    measure for each detection, summed over the image.
    """
    entropies = binary_entropy(detections["score"].to_numpy(float))
    return pd.Series(entropies, index=detections.index).groupby(detections["image_id"]).sum()


def _margin(detections: pd.DataFrame) -> pd.Series:
    """Return how close each image's second class comes to its first: 1 less their difference."""
    best = detections.groupby(["image_id", "class_name"])["score"].max()
    ranked = best.reset_index().sort_values(["image_id", "score"], ascending=[True, False])
    place = ranked.groupby("image_id").cumcount()
    first = ranked[place == 0].set_index("image_id")["score"]
    second = ranked[place == 1].set_index("image_id")["score"]
    return 1 - (first - second.reindex(first.index).fillna(0.0))


_DOUBTS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "least_confidence": _least_confidence,
    "entropy": _entropy,
    "margin": _margin,
}
_UNDETECTED = {"least_confidence": 1.0, "entropy": 0.0, "margin": 1.0}
"""Doubt about an image in which nothing was detected."""
