"""95 % intervals of average precision: the images drawn again and again, with replacement.

What a detection is, right or wrong, is settled within its image. So a resample only says how often
each image counts, and detections need to be sorted once.

A resample has fewer different images, its curve more steps, and the area below their envelope is a
little larger than the sample's. So plain percentiles lie too high, most where a detector is poor,
and the interval is the bias-corrected one.

What few images show is not known any better for being drawn again: a class in one image has the
same figure in every resample. So there is no interval below MIN_IMAGES.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 14.3, with an
acceleration of 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import ndtr, ndtri

from boxloop.evaluation.matching import MIN_IOU, Matches, match, overlapping_pairs
from boxloop.evaluation.pascal import class_precisions, mean_precision
from boxloop.evaluation.results import Array, Results, build_results

REPLICATES = 1000  # another seed then moves an edge by a twentieth of the width or so
REPLICATES_AT_ONCE = 100  # as many numbers for each right detection stay in memory
CONFIDENCE = 0.95
MIN_IMAGES = 5  # with a true box; below it there is no interval


class Difference(NamedTuple):
    """How much higher one mAP@0.5 is than another, and the edges of its 95 % interval."""

    value: float
    low: float
    high: float


def difference_interval(
    detections: pd.DataFrame,
    other: pd.DataFrame,
    truth: pd.DataFrame,
    images: pd.DataFrame,
    class_names: Sequence[str],
    *,
    seed: int,
    confidence: float = CONFIDENCE,
) -> Difference:
    """Return how much better one model is than another on the same images.

    Both are resampled together, so that an image that is hard for both does not widen the interval.
    An interval without 0 in it is a difference that other images would show as well.

    Args:
        detections: of the one model, with DETECTION_COLUMNS.
        other: of the other.
        truth: true boxes, with BOX_COLUMNS.
        images: image_id of every image that was looked at.
        class_names: in the order of their ids.
        seed: of the resamples.
        confidence: of the interval, in (0, 1).

    Returns:
        In mAP@0.5, nan where there is no true box; the edges also where fewer than MIN_IMAGES
        images have one.

    Raises:
        ValueError: if a table has a class or an image that is not among these.
    """
    values, means = [], []
    for table in (detections, other):
        results = build_results(table, truth, images["image_id"].tolist(), class_names)
        matches = match(results, overlapping_pairs(results, MIN_IOU))
        seen = class_precisions(results, matches)
        values.append(mean_precision(seen))
        means.append(mean_precisions(resample_precisions(results, matches, seed=seed), seen))
    value, num = values[0] - values[1], num_showing_any(results)
    edges = interval(means[0] - means[1], value, num_images=num, confidence=confidence)
    return Difference(value, *edges)


def num_showing(results: Results) -> Array:
    """Return in how many images each class has a box to be found, shape (classes,)."""
    is_real = ~results.is_difficult
    pairs = np.stack([results.truth_classes[is_real], results.truth_images[is_real]])
    return np.bincount(np.unique(pairs, axis=1)[0], minlength=results.num_classes)


def num_showing_any(results: Results) -> int:
    """Return how many images have a box to be found."""
    return len(np.unique(results.truth_images[~results.is_difficult]))


def resample_precisions(
    results: Results, matches: Matches, *, seed: int, replicates: int = REPLICATES
) -> Array:
    """Return average precisions of resampled images, shape (replicates, classes).

    The same seed and number of images draw the same images. A class that no drawn image has is nan.
    """
    parts = [
        _precisions(results, matches, counts)
        for counts in _draw(results.num_images, replicates, seed)
    ]
    return np.concatenate(parts)


def mean_precisions(precisions: Array, seen: Array) -> Array:
    """Return the mean over classes of each resample, shape (replicates,).

    A class that a resample lacks counts with what was seen of it: left out, the mean would be one
    of other classes, and rise and fall with which they are.

    Args:
        precisions: shape (replicates, classes), nan where a resample lacks a class.
        seen: of the images as they are, shape (classes,); nan where there is no true box.
    """
    is_known = ~np.isnan(seen)
    if not is_known.any():
        return np.full(len(precisions), np.nan)
    means: Array = np.where(np.isnan(precisions), seen, precisions)[:, is_known].mean(axis=1)
    return means


def interval(
    resampled: Array, seen: float, *, num_images: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the edges of the interval of a figure, nan if there are too few images.

    Args:
        resampled: shape (replicates,), nan where a resample does not have it.
        seen: the figure of the images as they are.
        num_images: how many of them have a true box that the figure is about.
        confidence: how often such an interval holds the figure, in (0, 1).
    """
    known = resampled[~np.isnan(resampled)]
    if num_images < MIN_IMAGES or len(known) == 0:
        return float("nan"), float("nan")
    below = ((known < seen).mean() + (known <= seen).mean()) / 2
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    bias = ndtri(np.clip(below, 0.5 / len(known), 1 - 0.5 / len(known)))
    low, high = np.quantile(known, ndtr(2 * bias + ndtri(tails)))
    return float(low), float(high)


def _draw(num_images: int, replicates: int, seed: int) -> Iterator[Array]:
    """Give how often each image was drawn: parts of shape (images, some of the replicates)."""
    rng = np.random.default_rng(seed)
    for start in range(0, replicates, REPLICATES_AT_ONCE):
        num = min(REPLICATES_AT_ONCE, replicates - start)
        drawn = rng.integers(0, max(num_images, 1), (num, num_images))
        places = drawn * num + np.arange(num)[:, None]
        counts = np.bincount(places.ravel(), minlength=num_images * num)
        yield counts.reshape(num_images, num).astype(float)


def _precisions(results: Results, matches: Matches, counts: Array) -> Array:
    """Return average precisions of images that count several times, shape (columns, classes)."""
    is_real = ~results.is_difficult
    places = (results.truth_classes[is_real], results.truth_images[is_real])
    num_truths = _times(*places, counts, results.num_classes)
    areas = np.zeros((counts.shape[1], results.num_classes))
    for number in range(results.num_classes):
        is_own = (results.classes == number) & ~matches.is_ignored
        areas[:, number] = _area(results.images[is_own], matches.is_right[is_own], counts)
    is_known = num_truths.T > 0
    shares: Array = np.divide(areas, num_truths.T, np.full(areas.shape, np.nan), where=is_known)
    return shares


def _area(images: Array, is_right: Array, counts: Array) -> Array:
    """Return the area under a class's curve of precision over right detections, shape (columns,).

    Precision is highest at right detections, so the wrong ones before each are only counted.

    Args:
        images: shape (N,), of the class's detections, the best first.
        is_right: shape (N,).
        counts: shape (images, columns), how often each image counts.
    """
    right = counts[images[is_right]]
    place = np.cumsum(is_right) - is_right  # how many right ones are before a detection
    is_before = place < len(right)
    used = _times(place[is_before], images[is_before], counts, len(right)).cumsum(axis=0)
    precisions = right.cumsum(axis=0) / np.maximum(used, 1)
    envelope = np.maximum.accumulate(precisions[::-1])[::-1]
    area: Array = (envelope * right).sum(axis=0)
    return area


def _times(rows: Array, images: Array, counts: Array, num_rows: int) -> Array:
    """Return, by row, how often the images that are listed for it count: shape (rows, columns)."""
    shape = (num_rows, len(counts))
    listed = sparse.csr_matrix((np.ones(len(rows)), (rows, images)), shape=shape)
    times: Array = listed @ counts
    return times
