"""How far a score is to be trusted: thresholds that keep a target precision on validation boxes.

Source: one score threshold chosen on held-out boxes is as good as a search with training (arXiv
2210.10221, there by F_beta); the shrinkage is that of a beta-binomial model, Gelman et al.,
"Bayesian Data Analysis", section 5.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression
from scipy.stats import beta

Array = np.ndarray[Any, Any]

SHRINKAGE = 10.0
"""Boxes that the precision of all classes together counts as, beside those of a class."""
FURTHER = "further boxes of an image"
PRIOR = 0.5  # boxes right and wrong that everybody begins with (Jeffreys)


@dataclass(frozen=True)
class Bar:
    """The score that a class must reach, and what it rests on."""

    class_name: str
    threshold: float
    """In [0, 1]."""
    precision: float
    """Estimated share of detections of at least this score that are right."""
    interval: tuple[float, float]
    """95 % of the estimate's distribution."""
    boxes: int
    """Validation detections of the class at or above the threshold."""
    is_reached: bool
    """Whether the estimate holds the target; if not, this threshold is the best for it."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What the validation boxes say of scores."""

    bars: Sequence[Bar]
    """One a class, for the best detection of an image's label."""
    further: Bar
    """For further detections of it in the same image, of whatever class."""
    scores: Array
    """Scores, ascending, shape (N,)."""
    p_right: Array
    """Share of right detections at these scores, never falling, shape (N,)."""

    @property
    def thresholds(self) -> dict[str, float]:
        """Class to the score that the best detection of an image must reach."""
        return {bar.class_name: bar.threshold for bar in self.bars}

    @property
    def further_threshold(self) -> float:
        """Score that further detections must reach: infinite where none keeps the target."""
        return self.further.threshold if self.further.is_reached else math.inf

    def probability(self, scores: Array) -> Array:
        """Return the probability that detections of these scores are right, in [0, 1]."""
        found: Array = np.interp(scores, self.scores, self.p_right)
        return found


def calibrate(
    found: pd.DataFrame, class_names: Sequence[str], *, target: float, min_score: float
) -> Calibration:
    """Choose of each class the lowest score at which its precision holds the target.

    A class with few validation boxes is estimated by all classes together as much as by its own.
    Second and third detections in an image are right less often, so they have a bar of their own.

    Args:
        found: validation detections that would be asked about: class_name, score, is_right, and
            is_best, whether it is the best of its class in its image.
        class_names: every class, also one without detections.
        target: precision, in (0, 1).
        min_score: no threshold is lower.
    """
    found = found[found["score"] >= min_score].sort_values("score", ascending=False)
    best, rest = found[found["is_best"]], found[~found["is_best"]].assign(class_name=FURTHER)
    bars = [_bar(name, best, target=target, min_score=min_score) for name in class_names]
    further = _bar(FURTHER, rest, target=target, min_score=min_score)
    scores, is_right = found["score"].to_numpy(float), found["is_right"].to_numpy(bool)
    return Calibration(bars, further, *_curve(scores, is_right))


def _bar(name: str, found: pd.DataFrame, *, target: float, min_score: float) -> Bar:
    """Choose the threshold of a class among all scores, best first."""
    scores, is_right = found["score"].to_numpy(float), found["is_right"].to_numpy(bool)
    is_own = (found["class_name"] == name).to_numpy(bool)
    grid = np.append(np.unique(scores)[::-1], min_score)
    at_least = np.searchsorted(-scores, -grid, side="right")
    counts = [np.append(0, np.cumsum(of))[at_least] for of in (is_own, is_own & is_right)]
    totals = np.append(0, np.cumsum(is_right))[at_least]
    overall = (totals + PRIOR) / (at_least + 2 * PRIOR)
    right = counts[1] + SHRINKAGE * overall
    wrong = counts[0] - counts[1] + SHRINKAGE * (1 - overall)
    estimates = right / (right + wrong)
    is_enough = estimates >= target
    # the lowest that is enough, else the best; of equals the lowest
    best = np.flatnonzero(is_enough if is_enough.any() else estimates == estimates.max())[-1]
    low, high = beta.ppf([0.025, 0.975], right[best], wrong[best])
    return Bar(
        name,
        float(grid[best]),
        float(estimates[best]),
        (float(low), float(high)),
        int(counts[0][best]),
        bool(is_enough.any()),
    )


def _curve(scores: Array, is_right: Array) -> tuple[Array, Array]:
    """Return scores, ascending, and the share of right ones at each, made never to fall.

    Isotonic regression over all classes, with half a box right and half a box wrong at each end.
    """
    ends = np.array([0.0, 0.0, 1.0, 1.0])
    x = np.concatenate([ends, scores])
    y = np.concatenate([[0.0, 1.0, 0.0, 1.0], is_right.astype(float)])
    weights = np.concatenate([[1.0, PRIOR, PRIOR, 1.0], np.ones(len(scores))])
    places, groups = np.unique(x, return_inverse=True)
    total = np.bincount(groups, weights)
    mean = np.bincount(groups, weights * y) / total
    return places, isotonic_regression(mean, weights=total).x
