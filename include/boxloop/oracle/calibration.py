"""How far a detection is to be trusted: thresholds that keep a target precision on known boxes.

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
OUT_OF_REACH = 2.0
"""No lead is so large: the threshold where even the best estimate speaks against the target."""
UNKNOWN = 0.5  # the threshold where nothing at all was found in the validation images
FURTHER = "further boxes of an image"
PRIOR = 0.5  # boxes right and wrong that everybody begins with (Jeffreys)
CAUTION = 0.16
"""A threshold is chosen by this quantile of the estimate, about one standard deviation below it: of
many thresholds that look good enough, the lowest is the one that was luckiest."""


@dataclass(frozen=True)
class Bar:
    """The lead that a class must have, and what it rests on."""

    class_name: str
    threshold: float
    """In [0, 1], or OUT_OF_REACH."""
    precision: float
    """Estimated share of detections with at least this lead that are right."""
    interval: tuple[float, float]
    """95 % of the estimate's distribution."""
    boxes: int
    """Validation detections of the class at or above the threshold."""
    is_reached: bool
    """Whether the estimate, less CAUTION, holds the target; if not, the threshold is the best for
    it, unless its whole interval lies below the target."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What the validation boxes say of leads, see `boxloop.oracle.gates.find_leads`."""

    bars: Sequence[Bar]
    """One a class, for the best detection of an image's label."""
    further: Bar
    """For further detections of it in the same image, of whatever class."""
    leads: Array
    """Ascending, shape (N,)."""
    p_right: Array
    """Share of right detections at these leads, never falling, shape (N,)."""

    @property
    def thresholds(self) -> dict[str, float]:
        """Class to the lead that the best detection of an image must have."""
        return {bar.class_name: bar.threshold for bar in self.bars}

    @property
    def further_threshold(self) -> float:
        """Lead that further detections must have: infinite where none keeps the target."""
        return self.further.threshold if self.further.is_reached else math.inf

    def probability(self, leads: Array) -> Array:
        """Return the probability that detections with these leads are right, in [0, 1]."""
        found: Array = np.interp(leads, self.leads, self.p_right)
        return found


def calibrate(found: pd.DataFrame, class_names: Sequence[str], *, target: float) -> Calibration:
    """Choose of each class the smallest lead at which its precision holds the target.

    A class with few validation boxes is estimated by all classes together as much as by its own.
    Second and third detections in an image are right less often, so they have a bar of their own.

    Args:
        found: validation detections that would be asked about: class_name, lead, is_right, and
            is_best, whether it is the best of its class in its image.
        class_names: every class, also one without detections.
        target: precision, in (0, 1).
    """
    found = found.sort_values("lead", ascending=False, kind="stable")
    best, rest = found[found["is_best"]], found[~found["is_best"]].assign(class_name=FURTHER)
    bars = [_bar(name, best, target) for name in class_names]
    leads, is_right = best["lead"].to_numpy(float), best["is_right"].to_numpy(bool)
    return Calibration(bars, _bar(FURTHER, rest, target), *_curve(leads, is_right))


def _bar(name: str, found: pd.DataFrame, target: float) -> Bar:
    """Choose the threshold of a class among all leads, the largest first."""
    leads, is_right = found["lead"].to_numpy(float), found["is_right"].to_numpy(bool)
    is_own = (found["class_name"] == name).to_numpy(bool)
    grid = np.append(np.unique(leads)[::-1], 0.0)
    at_least = np.searchsorted(-leads, -grid, side="right")
    counts = [np.append(0, np.cumsum(of))[at_least] for of in (is_own, is_own & is_right)]
    totals = np.append(0, np.cumsum(is_right))[at_least]
    overall = (totals + PRIOR) / (at_least + 2 * PRIOR)
    weight = np.minimum(SHRINKAGE, at_least + 2 * PRIOR)  # no more than they are
    right = counts[1] + weight * overall
    wrong = counts[0] - counts[1] + weight * (1 - overall)
    estimates = right / (right + wrong)
    is_enough = beta.ppf(CAUTION, right, wrong) >= target
    # the lowest that is enough, else the best; of equals the lowest
    best = np.flatnonzero(is_enough if is_enough.any() else estimates == estimates.max())[-1]
    low, high = beta.ppf([0.025, 0.975], right[best], wrong[best])
    threshold = float(grid[best]) if len(leads) or is_enough.any() else UNKNOWN
    return Bar(
        name,
        threshold if is_enough.any() or high >= target else OUT_OF_REACH,
        float(estimates[best]),
        (float(low), float(high)),
        int(counts[0][best]),
        bool(is_enough.any()),
    )


def _curve(leads: Array, is_right: Array) -> tuple[Array, Array]:
    """Return leads, ascending, and the share of right ones at each, made never to fall.

    Isotonic regression over all classes, with half a box right and half a box wrong at each end.
    """
    ends = np.array([0.0, 0.0, 1.0, 1.0])
    x = np.concatenate([ends, leads])
    y = np.concatenate([[0.0, 1.0, 0.0, 1.0], is_right.astype(float)])
    weights = np.concatenate([[1.0, PRIOR, PRIOR, 1.0], np.ones(len(leads))])
    places, groups = np.unique(x, return_inverse=True)
    total = np.bincount(groups, weights)
    mean = np.bincount(groups, weights * y) / total
    return places, isotonic_regression(mean, weights=total).x
