"""The ids of boxes, K = 4: 1 to 3 teach all, 5 to 7 the class alone, 8 nothing.

9 to 11 teach all with a weight of 7/8, 13 to 15 the class alone, and so on.
"""

from typing import Any

import numpy as np
import pytest

from boxloop.train_settings import TrainConfig

pytestmark = pytest.mark.slow
K = 4


def example() -> dict[str, Any]:
    import tensorflow as tf

    return {
        "groundtruth_classes": tf.constant([1, 2, 4], tf.int64),  # 4: doubtful
        "groundtruth_boxes": tf.constant([[0, 0, 1, 1], [0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]),
        "source_id": tf.constant("7"),
    }


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({}, [1, 2, 8], id="default"),
        pytest.param({"box_loss_on_adopted": False}, [1, 6, 8], id="class alone"),
        pytest.param({"ignore_doubtful": False}, [1, 2], id="background"),
        pytest.param(
            {"ignore_doubtful": False, "box_loss_on_adopted": False}, [1, 6], id="both off"
        ),
    ],
)
def test_ids_tell_what_boxes_teach(settings: dict[str, Any], expected: list[int]) -> None:
    import tensorflow as tf

    from boxloop.detector.targets import encode_boxes

    origins = tf.constant(["human", "adopted", "doubtful"])
    coded = encode_boxes(example(), origins, tf.ones(3), K, TrainConfig(**settings))
    assert coded["groundtruth_classes"].numpy().tolist() == expected
    assert len(coded["groundtruth_boxes"]) == len(expected)
    assert coded["source_id"] == b"7"


@pytest.mark.parametrize(
    ("weight", "eighths"),
    [(1.0, 8), (0.94, 8), (0.93, 7), (0.5, 4), (0.2, 2), (0.06, 1), (1e-9, 1)],
)
def test_weights_are_rounded_to_eighths(weight: float, eighths: int) -> None:
    import tensorflow as tf

    from boxloop.detector import targets

    origins, weights = tf.constant(["human", "adopted", "doubtful"]), tf.constant([1.0, weight, 1])
    for config in (TrainConfig(), TrainConfig(box_loss_on_adopted=False)):
        class_alone = 0 if config.box_loss_on_adopted else K
        coded = targets.encode_boxes(example(), origins, weights, K, config)
        ids = coded["groundtruth_classes"]
        assert ids.numpy().tolist() == [1, 2 + 2 * K * (8 - eighths) + class_alone, 2 * K]
        for kind in (tf.int64, tf.float32):  # as parsers have them, and as the step casts them
            found = tf.cast(ids, kind)
            assert targets._weight_of(found, K).numpy()[:2].tolist() == [1, eighths / 8]
            assert targets._class_of(found, K).numpy().tolist() == [1, 2, K]
            places = [1, 0 if class_alone else 2, 0]
            assert targets._place_of(found, K).numpy().tolist() == places


def test_retinanet_anchors_learn_what_their_box_teaches() -> None:
    import tensorflow as tf

    from boxloop.detector.targets import retinanet_labels

    labels = {
        # one image; level 3 has 1 x 3 places of one anchor, level 4 one; -1 is background
        "cls_targets": {"3": tf.constant([[[[1], [6], [8]]]]), "4": tf.constant([[[[-1]]]])},
        "cls_weights": tf.constant([[1.0, 1.0, 1.0, 1.0]]),
        "box_weights": tf.constant([[1.0, 1.0, 1.0, 0.0]]),
        "image_info": tf.constant([7.0]),
    }
    images, found = retinanet_labels("images", labels, k=K)
    assert images == "images"
    assert found["box_weights"].numpy().tolist() == [[1, 0, 0, 0]]
    assert found["cls_targets"]["3"].numpy().ravel().tolist()[:2] == [1, 2]
    assert found["cls_targets"]["4"].numpy().ravel().tolist() == [-1]
    # two positives teach a class, one a place: the loss divides by 1 + 1 and should by 1 + 2
    share = (1 + 1) / (1 + 2)
    np.testing.assert_allclose(found["cls_weights"], [[share, share, 0, share]], rtol=1e-6)
    assert found["image_info"] is labels["image_info"]


def test_retinanet_labels_of_human_boxes_stay_as_they_are() -> None:
    import tensorflow as tf

    from boxloop.detector.targets import retinanet_labels

    labels = {
        "cls_targets": {"3": tf.constant([[[[1], [3], [-1]]]])},
        "cls_weights": tf.constant([[1.0, 1.0, 1.0]]),
        "box_weights": tf.constant([[1.0, 1.0, 0.0]]),
    }
    _, found = retinanet_labels(None, labels, k=K)
    for name in ("cls_weights", "box_weights"):
        np.testing.assert_array_equal(found[name], labels[name])
    np.testing.assert_array_equal(found["cls_targets"]["3"], labels["cls_targets"]["3"])


def test_proposals_learn_what_their_box_teaches() -> None:
    import tensorflow as tf

    from boxloop.detector.targets import rcnn_labels

    anchors = [[0, 0, 8, 8], [16, 0, 24, 8], [32, 0, 40, 8], [60, 60, 64, 64]]
    boxes = [[0, 0, 8, 8], [16, 0, 24, 8], [32, 0, 40, 8], [-1] * 4]
    labels = {
        "anchor_boxes": {"3": tf.reshape(tf.constant(anchors, tf.float32), [1, 4, 4])},
        "rpn_score_targets": {"3": tf.constant([[[1], [1], [1], [0]]])},
        "rpn_box_targets": {"3": tf.ones([1, 4, 4])},
        "gt_boxes": tf.constant(boxes, tf.float32),
        "gt_classes": tf.constant([1, 6, 8, -1], tf.int64),
    }
    _, found = rcnn_labels(None, labels, k=K)
    assert found["rpn_score_targets"]["3"].numpy().ravel().tolist() == [1, 1, -1, 0]
    places = found["rpn_box_targets"]["3"].numpy()[0].sum(axis=1)
    assert places.tolist() == [4, 0, 0, 4]


def test_the_second_stage_learns_classes_and_places_from_their_own_boxes() -> None:
    import tensorflow as tf

    from boxloop.detector.targets import rcnn_losses

    seen = []

    def build(outputs: dict[str, Any], labels: dict[str, Any]) -> tuple[str, str]:
        seen.append(outputs["class_targets"].numpy().tolist())
        np.testing.assert_array_equal(outputs["class_targets_1"], outputs["class_targets"])
        return f"class loss {len(seen)}", f"box loss {len(seen)}"

    ids = tf.constant([[0, 1, 6, 8]])
    values = tf.zeros([1, 4, 1])
    outputs = {"class_targets": ids, "class_targets_1": ids} | {
        f"{kind}_outputs{head}": values for kind in ("class", "box") for head in ("", "_1")
    }
    assert rcnn_losses(build, K, outputs, {}) == ("class loss 1", "box loss 2")
    assert seen == [[[0, 1, 2, 4]], [[0, 1, 0, 0]]]


def test_a_doubtful_region_has_no_class_loss_in_model_garden() -> None:
    import tensorflow as tf
    from official.vision.losses.maskrcnn_losses import FastrcnnClassLoss

    outputs = tf.Variable([[[3.0, -1.0, 0.5, 2.0]]])

    def gradient(class_id: int) -> float:
        with tf.GradientTape() as tape:
            loss = FastrcnnClassLoss()(outputs, tf.constant([[class_id]]))
        return float(np.abs(tape.gradient(loss, outputs)).sum())

    assert gradient(K) == 0
    assert gradient(K - 1) > 0
