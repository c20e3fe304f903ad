"""All figures of a round from its detections and the true boxes, for evaluation.json."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from boxloop.evaluation import bootstrap
from boxloop.evaluation.coco import coco_figures
from boxloop.evaluation.error_kinds import error_kinds
from boxloop.evaluation.hand_check import hand_check
from boxloop.evaluation.matching import Matches, match, overlapping_pairs
from boxloop.evaluation.operating import confusion, image_table, operating_point
from boxloop.evaluation.pascal import class_precisions, mean_precision, name_figures
from boxloop.evaluation.results import Array, Results, build_results


def evaluate_detections(
    detections: pd.DataFrame,
    truth: pd.DataFrame,
    images: pd.DataFrame,
    class_names: Sequence[str],
    *,
    threshold: float,
    seed: int,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return every figure of a detector on some images, and a row for each image.

    Args:
        detections: with DETECTION_COLUMNS, of all scores.
        truth: true boxes, with BOX_COLUMNS; difficult ones are neither to be found nor wrong to
            find.
        images: image_id and image_label, every image that was looked at.
        class_names: in the order of their ids.
        threshold: score from which detections count for precision, recall, F1, confusion, the hand
            check and the table of images; see `best_threshold`.
        seed: of the resamples behind the intervals.

    Returns:
        The content of evaluation.json, less the name of the split, every nan a None; docs/
        evaluation.md says what each figure means. And image_id, truths, found, wrong, is_right.

    Raises:
        ValueError: if a table names a class or an image that is not among these.
    """
    images = images.sort_values("image_id").reset_index(drop=True)
    image_ids = images["image_id"].tolist()
    results = build_results(detections, truth, image_ids, class_names)
    pairs = overlapping_pairs(results)
    matches = match(results, pairs)
    figures = {
        "images": results.num_images,
        "boxes": int(results.num_truths.sum()),
        **_precisions(results, matches, class_names, seed),
        **coco_figures(results),
        "operating": operating_point(results, matches, threshold, class_names),
        "confusion": confusion(results, pairs, matches, threshold, class_names),
        "errors": error_kinds(results, pairs, matches),
        "hand_check": hand_check(results, images, threshold, class_names),
    }
    return _json_safe(figures), image_table(results, matches, threshold, image_ids)


def _precisions(
    results: Results, matches: Matches, class_names: Sequence[str], seed: int
) -> dict[str, Any]:
    """Return PASCAL's figures and their intervals."""
    precisions = class_precisions(results, matches)
    resampled = bootstrap.resample_precisions(results, matches, seed=seed)
    means, map50 = bootstrap.mean_precisions(resampled, precisions), mean_precision(precisions)
    columns = zip(resampled.T, precisions, bootstrap.num_showing(results), strict=True)
    by_class = [_interval(*column) for column in columns]
    return {
        "map50": map50,
        "map50_interval": _interval(means, map50, bootstrap.num_showing_any(results)),
        "ap50_per_class": dict(zip(class_names, precisions.tolist(), strict=True)),
        "ap50_intervals": dict(zip(class_names, by_class, strict=True)),
        "pascal": name_figures(precisions, class_names),
    }


def _interval(resampled: Array, seen: float, num_images: int) -> list[float] | None:
    edges = bootstrap.interval(resampled, seen, num_images=num_images)
    return None if math.isnan(edges[0]) else list(edges)


def _json_safe(value: Any) -> Any:
    """Return nested dicts and lists with None for every nan, which JSON has no word for."""
    if isinstance(value, dict):
        return {key: _json_safe(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json_safe(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
