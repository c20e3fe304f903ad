"""What training reports of its validation split: COCO's figures and PASCAL's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from official.vision.evaluation import coco_evaluator

from boxloop.evaluation.pascal import ImageResult, pascal_metrics

IOU_50, ALL_AREAS, LAST_LIMIT = 0, 0, -1  # places in pycocotools' table of precisions


def use_evaluator(task: Any, class_names: Sequence[str]) -> Evaluator:
    """Let a Model Garden task that is set up for evaluation report our figures."""
    evaluator = Evaluator(class_names)
    task.coco_metric = evaluator
    return evaluator


class Evaluator(coco_evaluator.COCOEvaluator):  # type: ignore[misc]
    """Model Garden's evaluator with AP by class, which it has only with a patched pycocotools."""

    def __init__(self, class_names: Sequence[str]) -> None:
        super().__init__(annotation_file=None, include_mask=False, per_category_metrics=True)
        self._class_names = list(class_names)

    def evaluate(self) -> dict[str, float]:
        """Return COCO's figures, and PASCAL's under their own names."""
        pascal = pascal_metrics(list(self._results()), self._class_names)
        metrics: dict[str, float] = super().evaluate()  # turns the boxes it keeps into COCO's form
        return metrics | pascal

    def _results(self) -> Iterator[ImageResult]:
        truths, found = _joined(self._groundtruths), _joined(self._predictions)
        for index in range(len(found["source_id"])):
            n, m = truths["num_detections"][index].item(), found["num_detections"][index].item()
            yield ImageResult(
                truths["boxes"][index][:n],
                truths["classes"][index][:n],
                found["detection_boxes"][index][:m],
                found["detection_classes"][index][:m],
                found["detection_scores"][index][:m],
            )

    def _retrieve_per_category_metrics(self, coco_eval: Any, prefix: str = "") -> dict[str, float]:
        del prefix
        precision = coco_eval.eval["precision"][IOU_50, :, :, ALL_AREAS, LAST_LIMIT]
        ids = coco_eval.params.catIds
        return {
            f"AP50/{class_id}": float(precision[:, column].mean())
            for column, class_id in enumerate(ids)
            if precision[:, column].max() >= 0  # -1: no box of the class to be found
        }


def _joined(batches: dict[str, list[Any]]) -> dict[str, Any]:
    """Join the batches that an evaluator keeps."""
    names = ("source_id", "num_detections", "boxes", "classes")
    return {
        name: np.concatenate(values)
        for name, values in batches.items()
        if name in names or name.startswith("detection_")
    }
