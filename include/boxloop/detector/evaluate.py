"""Evaluate a detector with Model Garden's loop and COCO evaluator, PASCAL's figures added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from official.core import task_factory, train_lib
from official.vision.evaluation import coco_evaluator

from boxloop.detector import events, weights
from boxloop.detector.config import build_config, set_evaluation_data
from boxloop.evaluation.pascal import ImageResult, pascal_metrics
from boxloop.settings import Experiment

IOU_50, ALL_AREAS, LAST_LIMIT = 0, 0, -1  # places in pycocotools' table of precisions


def evaluate(
    experiment: Experiment,
    *,
    shards: Sequence[Path],
    class_names: Sequence[str],
    weights_dir: Path,
    events_dir: Path,
    batch_size: int = 32,
) -> dict[str, Any]:
    """Return COCO metrics of a trained detector, each in [0, 1].

    Args:
        experiment: whose model it is.
        shards: TFRecord files to evaluate on.
        class_names: in the order of their ids.
        weights_dir: what training wrote.
        events_dir: gets TensorBoard events: metrics, and pictures of detections.
        batch_size: images at a time.

    Returns:
        {"map50": AP at IoU 0.5, mean over classes, "map": AP at IoU 0.5 to 0.95,
        "ap50_per_class": {name: AP at IoU 0.5, or None where no box of it is to be found}}.

    Source: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014; pycocotools.
    """
    config = build_config(experiment, len(class_names))
    config.trainer.optimizer_config.ema = None  # the weights are averaged already
    config.trainer.best_checkpoint_export_subdir = ""
    set_evaluation_data(config, shards, batch_size=batch_size)
    task = task_factory.get_task(config.task)
    task.initialize = partial(weights.read, path=weights_dir)
    runner = train_lib.OrbitExperimentRunner(
        tf.distribute.get_strategy(), task, "eval", config, str(events_dir)
    )
    evaluator = use_evaluator(task, class_names)
    runner.trainer.global_step.assign(experiment.train.total_steps)  # for TensorBoard
    logs = runner.controller.evaluate(steps=-1)
    events.write_pictures(runner, evaluator.first_results, class_names)
    by_class = {
        name: logs.get(f"AP50/{class_id}") for class_id, name in enumerate(class_names, start=1)
    }
    return {
        "map50": float(logs["AP50"]),
        "map": float(logs["AP"]),
        "ap50_per_class": {k: None if v is None else float(v) for k, v in by_class.items()},
    }


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
        self.first_results: list[ImageResult] = []
        """Of the first batch, boxes in pixels of the image: ymin, xmin, ymax, xmax."""

    def evaluate(self) -> dict[str, float]:
        """Return COCO's figures, and PASCAL's under their own names."""
        results = list(self._results())
        self.first_results = results[: len(self._predictions["source_id"][0])]
        pascal = pascal_metrics(results, self._class_names)
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
