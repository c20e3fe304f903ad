import numpy as np
import pytest
from tests.inference.fakes import SPEC, engine, image

from boxloop.inference.agreement import SMALLER, agreement, variants
from boxloop.inference.engine import Engine
from boxloop.inference.portable import Array, Found
from boxloop.inference.stream import find_all

WIDTH = 100
BOX, MIRRORED = [10.0, 20.0, 40.0, 60.0], [60.0, 20.0, 90.0, 60.0]


def found(*boxes: list[float], classes: list[int] | None = None) -> Found:
    ids = np.array(classes or [1] * len(boxes), np.intp)
    return Found(np.array(boxes, float).reshape(-1, 4), ids, np.linspace(0.9, 0.5, len(boxes)))


def blind(frames: Array) -> tuple[Array, Array, None]:
    """Detect a cat in the same place of any frame."""
    boxes = np.tile(np.array([0, 0, 20, 20], np.float32), (len(frames), 1, 1, 1))
    return boxes, np.tile(np.array([0.9, 0], np.float32), (len(frames), 1, 1)), None


def test_the_first_variant_is_the_image_and_the_second_its_mirror_image() -> None:
    pixels = np.asarray(image(size=(64, 48)))
    plain, mirrored, _ = variants(pixels, SPEC)
    assert np.array_equal(plain.frame, pixels)
    assert np.array_equal(mirrored.frame, pixels[:, ::-1])


def test_the_third_is_smaller_and_the_rest_of_its_frame_has_the_mean() -> None:
    smaller = variants(np.asarray(image(size=(64, 48))), SPEC)[2]
    assert smaller.scale_yx == (SMALLER, SMALLER)
    is_mean = (smaller.frame == np.array(SPEC.mean_rgb, np.float32)).all(axis=2)
    assert np.array_equal(np.argwhere(~is_mean).max(axis=0) + 1, [36, 48])


def test_boxes_that_come_back_agree_fully() -> None:
    assert agreement([found(BOX), found(MIRRORED), found(BOX)], WIDTH).tolist() == [1]


def test_the_worst_variant_counts() -> None:
    half = [10.0, 20.0, 40.0, 40.0]
    assert agreement([found(BOX), found(MIRRORED), found(half)], WIDTH) == pytest.approx([0.5])


def test_a_box_of_another_class_is_no_agreement() -> None:
    other = found(MIRRORED, classes=[2])
    assert agreement([found(BOX), other, found(BOX)], WIDTH).tolist() == [0]


def test_each_detection_has_its_own_agreement() -> None:
    low = [10.0, 70.0, 40.0, 90.0]
    others = [found(MIRRORED), found(BOX, low)]
    assert agreement([found(low, BOX), *others], WIDTH).tolist() == [0, 1]


@pytest.mark.parametrize("others", [[found(), found()], [found(BOX), found(BOX)]])
def test_nothing_detected_agrees_with_anything(others: list[Found]) -> None:
    assert agreement([found(), *others], WIDTH).shape == (0,)


def test_a_variant_without_a_detection_takes_all_agreement() -> None:
    assert agreement([found(BOX), found(MIRRORED), found()], WIDTH).tolist() == [0]


@pytest.mark.parametrize("size", [(64, 48), (128, 96), (96, 96)])
def test_a_detector_that_sees_the_same_everywhere_agrees(size: tuple[int, int]) -> None:
    pixels = np.asarray(image((16, 16, 48, 32), size))
    results = [found for found, _ in find_all(engine(), SPEC, variants(pixels, SPEC))]
    assert agreement(results, size[0]) == pytest.approx([1], abs=0.15)  # to a pixel of the frame


def test_a_detector_that_does_not_look_does_not_agree() -> None:
    fitted = variants(np.asarray(image()), SPEC)
    results = [found for found, _ in find_all(Engine("fake", blind, 3, 1), SPEC, fitted)]
    assert agreement(results, 64).tolist() == [0]
