import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG")
    return stream.getvalue()


def fake_model(images: Any) -> dict[str, Any]:
    """Decode as an exported model does; find one box in every image."""
    import tensorflow as tf

    for image in images:
        tf.io.decode_image(image)
    count = len(images)
    # a 200 x 100 image scaled by one half, into a 128 x 128 frame, shifted by nothing
    info = [[100.0, 200.0], [128.0, 128.0], [0.5, 0.5], [0.0, 0.0]]
    return {
        "num_detections": tf.constant([2] * count),
        # yxyx: the first is twice as large in the image; the second lies in the padding
        "detection_boxes": tf.constant([[[10.0, 20.0, 30.0, 120.0], [60, 0, 70, 100]]] * count),
        "detection_classes": tf.constant([[2, 1]] * count),
        "detection_scores": tf.constant([[0.75, 0.5]] * count),
        "image_info": tf.constant([info] * count),
    }


def test_boxes_come_back_in_the_images_own_pixels() -> None:
    from boxloop.detector.predict import detect_batch

    (found,) = detect_batch(fake_model, [("a.jpg", jpeg())], lambda image_id: None)
    assert found.image_id == "a.jpg"
    assert found.boxes_xyxy.tolist() == [[40, 20, 200, 60]]  # xmax 240 clipped to the width
    assert found.class_ids.tolist() == [2]
    assert found.scores.tolist() == [0.75]


def test_an_unreadable_image_is_told_and_costs_no_other() -> None:
    from boxloop.detector.predict import detect_batch

    unreadable: list[str] = []
    batch = [("a.jpg", jpeg()), ("b.jpg", b"no image"), ("c.jpg", jpeg())]
    found = list(detect_batch(fake_model, batch, unreadable.append))
    assert [each.image_id for each in found] == ["a.jpg", "c.jpg"]
    assert unreadable == ["b.jpg"]


def test_scores_are_numbers_in_the_table() -> None:
    from boxloop.detector.predict import Detections, _rows

    detections = Detections("a.jpg", np.array([1]), np.array([0.5]), np.array([[1.0, 2, 3, 4]]))
    assert _rows(detections, ["cat"]) == [
        {"image_id": "a.jpg", "class_name": "cat", "score": 0.5}
        | {"xmin": 1.0, "ymin": 2.0, "xmax": 3.0, "ymax": 4.0}
    ]
