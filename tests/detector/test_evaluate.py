from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning:official"),
]

A, B, FAR = [0.0, 0.0, 40.0, 40.0], [50.0, 50.0, 90.0, 90.0], [0.0, 60.0, 30.0, 90.0]  # yxyx
PASCAL = "PascalBoxes_PerformanceByCategory/AP@0.5IOU"


def evaluate(found: list[tuple[list[float], int, float]]) -> dict[str, float]:
    """Evaluate detections in one image of 100 px that has cat A and dog B."""
    import tensorflow as tf

    from boxloop.detector.evaluate import Evaluator

    truths: dict[str, Any] = {
        "source_id": tf.constant([7]),
        "height": tf.constant([100]),
        "width": tf.constant([100]),
        "num_detections": tf.constant([[2]]),
        "boxes": tf.constant([[A, B, [-1.0] * 4]]),
        "classes": tf.constant([[1, 2, -1]]),
    }
    scale = [[100.0, 100.0], [50.0, 50.0], [0.5, 0.5], [0.0, 0.0]]  # the model sees half the size
    detections = {
        "source_id": tf.constant([7]),
        "image_info": tf.constant([scale]),
        "num_detections": tf.constant([len(found)]),
        "detection_boxes": tf.constant([[[edge / 2 for edge in box] for box, _, _ in found]]),
        "detection_classes": tf.constant([[class_id for _, class_id, _ in found]]),
        "detection_scores": tf.constant([[score for _, _, score in found]]),
    }
    evaluator = Evaluator(["cat", "dog"])
    evaluator.update_state(truths, detections)
    metrics: dict[str, float] = evaluator.result()
    return metrics


def test_what_is_all_right_is_all_right_by_both_rules() -> None:
    metrics = evaluate([(A, 1, 0.9), (B, 2, 0.8)])
    assert metrics["AP50"] == pytest.approx(1)
    assert metrics["AP50/2"] == pytest.approx(1)
    assert metrics["PascalBoxes_Precision/mAP@0.5IOU"] == pytest.approx(1)
    assert metrics[f"{PASCAL}/dog"] == pytest.approx(1)


def test_a_wrong_detection_before_the_right_one_halves_a_class() -> None:
    metrics = evaluate([(FAR, 1, 0.9), (A, 1, 0.8), (B, 2, 0.8)])
    for cat, dog in (("AP50/1", "AP50/2"), (f"{PASCAL}/cat", f"{PASCAL}/dog")):
        assert metrics[cat] == pytest.approx(0.5)
        assert metrics[dog] == pytest.approx(1)
    assert metrics["PascalBoxes_Precision/mAP@0.5IOU"] == pytest.approx(0.75)
