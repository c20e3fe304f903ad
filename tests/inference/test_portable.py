import dataclasses
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.data.pictures import GREY16, RGB16, ROTATED, exif, picture, png_of_a_colour, scene
from tests.inference.fakes import SPEC

from boxloop.inference.portable import (
    Array,
    Fitted,
    Found,
    check_shapes,
    decode,
    find,
    fit,
    to_records,
)

MODEL_SIZES = [(48, 64), (320, 320)]
SIZES = [(1, 1), (37, 64), (100, 40), (96, 128), (91, 896), (333, 500), (768, 27)]


def colours(height: int, width: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def whole(height: int = 48, width: int = 64, scale: float = 1.0) -> Fitted:
    """An image of which a pixel takes `scale` pixels of the frame."""
    return Fitted(np.zeros((48, 64, 3), np.float32), (scale, scale), (height, width))


def ask(boxes: Any, scores: Any, fitted: Fitted, **rules: Any) -> Found:
    """Choose among boxes, shape (A, 4), that all classes share."""
    yxyx = np.array(boxes, np.float32)[:, None]
    return find(yxyx, np.array(scores, np.float32), fitted, dataclasses.replace(SPEC, **rules))


def test_an_image_of_the_frames_size_is_left_alone() -> None:
    pixels = colours(48, 64)
    fitted = fit(pixels, SPEC)
    assert fitted.frame.dtype == np.float32
    assert np.array_equal(fitted.frame, pixels)
    assert (fitted.scale_yx, fitted.size) == ((1.0, 1.0), (48, 64))


def test_a_wide_image_fills_the_width_and_the_rest_has_the_mean() -> None:
    fitted = fit(colours(32, 128), SPEC)
    assert fitted.scale_yx == (0.5, 0.5)
    assert (fitted.frame[16:] == np.array(SPEC.mean_rgb, np.float32)).all()
    assert not (fitted.frame[:16] == np.array(SPEC.mean_rgb, np.float32)).all(axis=2).any()


def test_half_the_size_is_the_mean_of_four_pixels() -> None:
    pixels = colours(96, 128)
    means = pixels.reshape(48, 2, 64, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(fit(pixels, SPEC).frame, means, atol=1e-4)


def test_without_the_aspect_ratio_all_of_the_frame_is_filled() -> None:
    fitted = fit(colours(24, 128), dataclasses.replace(SPEC, keep_aspect_ratio=False))
    assert fitted.scale_yx == (2.0, 0.5)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_the_thinnest_image_has_a_pixel_in_the_frame(size: tuple[int, int]) -> None:
    fitted = fit(np.full((*size, 3), 7, np.uint8), SPEC)
    assert (fitted.frame[0, 0] == 7).all()


@pytest.mark.slow
@pytest.mark.parametrize("keep_aspect_ratio", [True, False])
@pytest.mark.parametrize("input_size", MODEL_SIZES)
def test_a_frame_is_the_one_of_training(
    input_size: tuple[int, int], keep_aspect_ratio: bool
) -> None:
    import tensorflow as tf
    from official.vision.ops import preprocess_ops

    spec = dataclasses.replace(SPEC, input_size=input_size, keep_aspect_ratio=keep_aspect_ratio)
    mean = np.array(spec.mean_rgb, np.float32)
    for size in SIZES:
        pixels = colours(*size)
        frame, info = preprocess_ops.resize_and_crop_image(
            tf.constant(pixels, tf.float32) - mean,
            list(input_size),
            padded_size=list(input_size),
            keep_aspect_ratio=keep_aspect_ratio,
        )
        fitted = fit(pixels, spec)
        np.testing.assert_allclose(fitted.frame, frame.numpy() + mean, atol=0.05, err_msg=f"{size}")
        assert fitted.scale_yx == pytest.approx(info.numpy()[2]), size


def test_boxes_come_back_in_pixels_of_the_image_best_first() -> None:
    found = ask([[0, 0, 8, 16], [8, 16, 24, 32]], [[0.2, 0], [0, 0.8]], whole(96, 128, 0.5))
    assert found.boxes_xyxy.tolist() == [[32, 16, 64, 48], [0, 0, 32, 16]]
    assert found.class_ids.tolist() == [2, 1]
    assert found.scores == pytest.approx([0.8, 0.2])


def test_a_score_must_be_above_the_threshold() -> None:
    found = ask([[0, 0, 8, 8], [20, 20, 30, 30]], [[0.5, 0], [0.500001, 0]], whole(), min_score=0.5)
    assert found.boxes_xyxy.tolist() == [[20, 20, 30, 30]]


def test_of_boxes_of_a_class_that_overlap_the_best_is_kept() -> None:
    boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 5]]  # IoU 0.9 and 0.5 with the first
    found = ask(boxes, [[0.3, 0], [0.2, 0], [0.25, 0]], whole(), max_iou=0.5)
    assert found.scores == pytest.approx([0.3, 0.25])


def test_boxes_of_two_classes_do_not_suppress_each_other() -> None:
    found = ask([[0, 0, 10, 10], [0, 0, 10, 10]], [[0.3, 0.4], [0.2, 0.1]], whole())
    assert list(zip(found.class_ids, found.scores.round(2), strict=True)) == [(2, 0.4), (1, 0.3)]


def test_classes_are_apart_also_outside_the_frame() -> None:
    boxes = [[-60, -60, 2, 2], [-58, -58, 2, 2]]
    assert len(ask(boxes, [[0, 0.9], [0.8, 0]], whole()).scores) == 2


def test_no_more_than_the_best_are_kept() -> None:
    boxes = [[0, column, 10, column + 2] for column in range(0, 40, 2)]
    scores = [[0.5 + index / 100, 0] for index in range(20)]
    found = ask(boxes, scores, whole(), max_detections=3)
    assert found.scores == pytest.approx([0.69, 0.68, 0.67])


def test_a_model_may_have_a_box_a_class() -> None:
    boxes = np.array([[[0, 0, 10, 10], [20, 20, 30, 40]]], np.float32)
    found = find(boxes, np.array([[0.3, 0.4]], np.float32), whole(), SPEC)
    assert found.boxes_xyxy.tolist() == [[20, 20, 40, 30], [0, 0, 10, 10]]
    assert found.class_ids.tolist() == [2, 1]


def test_boxes_end_with_the_image_and_those_outside_are_dropped() -> None:
    boxes = [[-5, -5, 10, 200], [30, 0, 40, 10], [5, 50, 5, 60]]  # the image is 24 high
    found = ask(boxes, [[0.9, 0], [0.8, 0], [0.7, 0]], whole(24, 64))
    assert found.boxes_xyxy.tolist() == [[0, 0, 64, 10]]


def test_boxes_that_are_dropped_take_nobodys_place() -> None:
    boxes = [[0, 64, 9, 64], [0, 0, 9, 9]]  # the image is 64 wide
    found = ask(boxes, [[0.9, 0.8], [0, 0.2]], whole(), max_detections=1)
    assert found.boxes_xyxy.tolist() == [[0, 0, 9, 9]]


@pytest.mark.parametrize("scores", [[[0.0, 0.1]], [[float("nan"), 0.05]]])
def test_nothing_found_is_an_empty_answer(scores: list[list[float]]) -> None:
    found = ask([[0, 0, 10, 10]], scores, whole())
    assert found.boxes_xyxy.shape == (0, 4)
    assert to_records(found, SPEC) == []


def test_records_name_the_class_and_are_rounded() -> None:
    found = ask([[0, 0, 10, 10.44]], [[0, 0.98768]], whole())
    edges = {"xmin": 0.0, "ymin": 0.0, "xmax": 10.4, "ymax": 10.0}
    assert to_records(found, SPEC) == [{"class": "dog", "score": 0.9877, **edges}]


def test_a_score_that_is_asked_for_is_enough() -> None:
    found = ask([[0, 0, 8, 8], [20, 20, 30, 30]], [[0.5, 0], [0.25, 0]], whole())
    assert found.above(0.5).scores.tolist() == [0.5]
    assert found.above(0.5).boxes_xyxy.tolist() == [[0, 0, 8, 8]]


def test_pixels_are_rgb_and_turned_where_that_is_asked_for() -> None:
    stored = np.asarray(scene())
    content = io.BytesIO()
    scene().save(content, "PNG", exif=exif(ROTATED))
    assert np.array_equal(decode(content.getvalue(), upright=False), stored)
    assert np.array_equal(decode(content.getvalue()), np.rot90(stored, -1))


@pytest.mark.parametrize(
    ("content", "colour"),
    [
        pytest.param(RGB16, (255, 128, 1), id="16 bits"),
        pytest.param(GREY16, (128, 128, 128), id="16 bits, grey"),
        pytest.param(png_of_a_colour(16, 6, (0xFF00, 0, 0x0101, 0)), (255, 0, 1), id="transparent"),
    ],
)
def test_every_png_becomes_eight_bits_rgb(content: bytes, colour: tuple[int, ...]) -> None:
    assert (decode(content) == colour).all()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_has_the_pixels_that_training_saw(mode: str) -> None:
    import tensorflow as tf

    content = picture("JPEG", mode, quality=95)
    seen = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE").numpy()
    difference = np.abs(decode(content).astype(int) - seen)
    assert difference.max() <= (1 if mode == "CMYK" else 0)


def test_an_animation_is_its_first_picture() -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    content = io.BytesIO()
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:])
    assert (decode(content.getvalue()) == (255, 0, 0)).all()


@pytest.mark.parametrize("content", [b"", b"text", picture("JPEG")[:400], picture("PNG")[:-20]])
def test_what_is_no_whole_image_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="empty, damaged or of an unknown format"):
        decode(content)


def test_a_large_image_is_scaled_colour_by_colour_to_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (301, 203, 3), np.uint8)
    expected = fit(pixels, SPEC).frame
    monkeypatch.setattr("boxloop.inference.portable.LARGE", 10)
    np.testing.assert_array_equal(fit(pixels, SPEC).frame, expected)


@pytest.mark.parametrize(
    ("frames", "scores"), [([1, 64, 64, 3], [1, 9, 2]), ([1, 48, 64, 3], [1, 9, 3])]
)
def test_a_description_of_another_model_is_refused(frames: list[int], scores: list[int]) -> None:
    with pytest.raises(
        ValueError, match=r"m takes .* pixels and knows . classes, bundle.json says"
    ):
        check_shapes(SPEC, frames, scores, "m")
