"""Evaluate a checkpoint with Model Garden's loop and COCO evaluator, AP by class added."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from official.core import task_factory, train_lib
from official.vision.evaluation import coco_evaluator

from boxloop.detector.config import build_config, set_evaluation_data
from boxloop.settings import Experiment

IOU_50, ALL_AREAS, LAST_LIMIT = 0, 0, -1  # places in pycocotools' table of precisions


def evaluate(
    experiment: Experiment,
    *,
    shards: Sequence[Path],
    class_names: Sequence[str],
    model_dir: Path,
    batch_size: int = 32,
) -> dict[str, Any]:
    """Return COCO metrics of the newest checkpoint in `model_dir`, each in [0, 1].

    Returns:
        {"map50": AP at IoU 0.5, mean over classes, "map": AP at IoU 0.5 to 0.95,
        "ap50_per_class": {name: AP at IoU 0.5, or None where no box of it is to be found}}.

    Source: Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014; pycocotools.
    """
    config = build_config(experiment, len(class_names))
    set_evaluation_data(config, shards, batch_size=batch_size)
    task = task_factory.get_task(config.task)
    runner = train_lib.OrbitExperimentRunner(
        tf.distribute.get_strategy(), task, "eval", config, str(model_dir)
    )
    task.coco_metric = PerClassEvaluator(
        annotation_file=None, include_mask=False, per_category_metrics=True
    )
    logs = runner.controller.evaluate(steps=-1)
    by_class = {
        name: logs.get(f"AP50/{class_id}") for class_id, name in enumerate(class_names, start=1)
    }
    return {
        "map50": float(logs["AP50"]),
        "map": float(logs["AP"]),
        "ap50_per_class": {k: None if v is None else float(v) for k, v in by_class.items()},
    }


class PerClassEvaluator(coco_evaluator.COCOEvaluator):  # type: ignore[misc]
    """Model Garden's evaluator, which has AP by class only with a patched pycocotools."""

    def _retrieve_per_category_metrics(self, coco_eval: Any, prefix: str = "") -> dict[str, float]:
        del prefix
        precision = coco_eval.eval["precision"][IOU_50, :, :, ALL_AREAS, LAST_LIMIT]
        ids = coco_eval.params.catIds
        return {
            f"AP50/{class_id}": float(precision[:, column].mean())
            for column, class_id in enumerate(ids)
            if precision[:, column].max() >= 0  # -1: no box of the class to be found
        }
