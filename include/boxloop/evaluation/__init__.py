"""How good detections are: figures from boxes alone, without TensorFlow; see docs/evaluation.md."""

from boxloop.evaluation.bootstrap import difference_interval
from boxloop.evaluation.evaluate import evaluate_detections
from boxloop.evaluation.operating import DEFAULT_THRESHOLD, best_threshold

__all__ = ["DEFAULT_THRESHOLD", "best_threshold", "difference_interval", "evaluate_detections"]
