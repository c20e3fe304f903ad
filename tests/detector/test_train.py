import pytest

pytestmark = pytest.mark.slow


def test_anchors_of_doubtful_boxes_have_no_part_in_the_loss() -> None:
    import tensorflow as tf

    from boxloop.detector.train import mask_doubtful

    labels = {
        # one image; level 3 has a 1 x 2 grid of one anchor, level 4 a 1 x 1 grid
        "cls_targets": {"3": tf.constant([[[[1], [9]]]]), "4": tf.constant([[[[-1]]]])},
        "cls_weights": tf.constant([[1.0, 1.0, 1.0]]),
        "box_weights": tf.constant([[1.0, 1.0, 0.0]]),
        "image_info": tf.constant([7.0]),
    }
    images, masked = mask_doubtful("images", labels, doubtful_id=9)
    assert images == "images"
    assert masked["cls_weights"].numpy().tolist() == [[1, 0, 1]]
    assert masked["box_weights"].numpy().tolist() == [[1, 0, 0]]
    assert masked["image_info"] is labels["image_info"]
