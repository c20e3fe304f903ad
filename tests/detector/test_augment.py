"""Boxes follow pixels: solid rectangles are drawn, changed, and found again by their colour."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from boxloop.train_settings import AugmentConfig

pytestmark = pytest.mark.slow

GREY = (128, 128, 128)
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)]
CLASS_COUNTS = [10, 10]


class Drawn(NamedTuple):
    """An image with one solid rectangle; ymin, xmin, ymax, xmax in pixels, None for no box."""

    height: int
    width: int
    box: tuple[int, int, int, int] | None
    colour: tuple[int, int, int] = COLOURS[0]
    class_id: int = 1


MANY = [
    Drawn(60, 80, (20, 30, 40, 60), COLOURS[0]),
    Drawn(90, 50, (10, 10, 60, 40), COLOURS[1]),
    Drawn(60, 80, (5, 5, 25, 35), COLOURS[2]),
    Drawn(120, 160, (30, 60, 110, 120), COLOURS[3]),
    Drawn(40, 40, (8, 12, 30, 36), COLOURS[4]),
    Drawn(64, 96, (30, 50, 50, 90), COLOURS[5]),
]
PLAIN = [Drawn(60, 80, None), Drawn(90, 70, None)]
ALL: dict[str, Any] = {
    "paste": 0.5,
    "mosaic": 0.5,
    "rotation": 20.0,
    "brightness": 0.2,
    "colour": 0.3,
}


@pytest.mark.parametrize(
    ("settings", "drawn"),
    [
        pytest.param({"rotation": 10.0}, MANY, id="rotation"),
        pytest.param({"mosaic": 1.0}, MANY, id="mosaic"),
        pytest.param({"mosaic": 0.5, "rotation": 5.0}, MANY, id="mosaic, rotated"),
        pytest.param({"paste": 1.0}, [*PLAIN, *MANY], id="paste"),
    ],
)
def test_every_box_fits_what_is_seen_of_its_rectangle(
    settings: dict[str, Any], drawn: list[Drawn]
) -> None:
    num_boxes = 0
    for example in _augmented(drawn, 60, **settings):
        if drawn is not MANY and int(example["source_id"]) >= len(PLAIN):
            continue  # a pasted box may cover a little of another
        for box, number in zip(_pixel_boxes(example), _numbers(example), strict=True):
            assert _extent(example["image"], drawn[number].colour) == pytest.approx(box, abs=2.5)
            num_boxes += 1
    assert num_boxes >= 10


def test_a_rotated_box_holds_the_corners_of_the_old_one() -> None:
    boxes = [
        _pixel_boxes(example)[0]
        for example in _augmented([Drawn(100, 100, (40, 30, 60, 70))], 20, rotation=45.0)
    ]
    # about the centre, 20 x 40 becomes at 45 degrees (20 + 40) / sqrt(2) in both directions
    heights = [ymax - ymin for ymin, _, ymax, _ in boxes]
    assert 20 <= min(heights) < max(heights) <= 60 / np.sqrt(2) + 0.01
    assert np.array(boxes)[:, :2] + np.array(boxes)[:, 2:] == pytest.approx(np.full((20, 2), 100))


def test_settings_at_0_return_the_same_dataset() -> None:
    from boxloop.detector.augment import augment_examples

    dataset = _dataset(MANY)
    same = augment_examples(dataset, AugmentConfig(), class_counts=CLASS_COUNTS, seed=1)
    assert same is dataset


def test_the_seed_decides_every_byte_whatever_the_number_of_threads() -> None:
    once = _digest(_augmented(MANY, 30, threads=1, **ALL))
    assert once == _digest(_augmented(MANY, 30, threads=8, **ALL))
    assert once != _digest(_augmented(MANY, 30, threads=1, seed=2, **ALL))


def test_an_image_keeps_its_size_and_its_number() -> None:
    for number, example in enumerate(_augmented(MANY, 12, **ALL)):
        drawn = MANY[number % len(MANY)]
        assert example["image"].shape == (drawn.height, drawn.width, 3)
        assert example["image"].dtype == np.uint8
        assert (example["height"], example["width"]) == (drawn.height, drawn.width)
        assert example["source_id"] == str(number % len(MANY)).encode()


def test_class_ids_and_other_keys_stay_with_their_boxes() -> None:
    # 3 classes with the background: an adopted 1 may be coded as 4, an adopted 2 as 5, and with
    # the least weight as 46 and 47
    ids = [4, 5, 46, 47]
    coded = [drawn._replace(class_id=ids[number % 4]) for number, drawn in enumerate(MANY)]
    for example in _augmented(coded, 40, **ALL):
        numbers = _numbers(example)
        assert example["groundtruth_classes"].tolist() == [ids[number % 4] for number in numbers]
        assert len(example["groundtruth_boxes"]) == len(numbers) == len(example["groundtruth_area"])


def test_a_box_of_which_less_than_a_fifth_is_left_is_dropped() -> None:
    from boxloop.detector.augment_one import with_boxes

    example = _example(Drawn(100, 100, (0, 0, 10, 10)), 0)
    for out_of_sight, num_left in ((79, 1), (81, 0)):
        box = [[50.0, 0.0 - out_of_sight, 60.0, 100.0 - out_of_sight]]
        left = with_boxes(example, example["image"], np.array(box, np.float32))
        assert len(left["groundtruth_boxes"]) == num_left


@pytest.mark.parametrize(
    ("class_id", "is_pasted"),
    [(1, True), (4, True), (3, False), (6, False), (3 * 14 + 1, True), (3 * 15 + 2, True)],
)
def test_boxes_of_no_class_are_never_pasted(class_id: int, is_pasted: bool) -> None:
    drawn = [drawn._replace(class_id=class_id) for drawn in MANY]
    examples = _augmented(drawn, 12, paste=1.0)
    assert any(len(example["groundtruth_boxes"]) > 1 for example in examples) == is_pasted


def test_rare_classes_are_pasted_more_often() -> None:
    drawn = [drawn._replace(class_id=1 + number % 2) for number, drawn in enumerate(MANY)]
    pasted = [
        int(class_id)
        for example in _augmented(drawn, 200, paste=1.0, class_counts=[900, 100])
        for class_id in example["groundtruth_classes"][1:]
    ]
    assert len(pasted) > 100
    assert np.mean(np.array(pasted) == 2) > 0.8


def test_a_pasted_box_leaves_the_others_visible() -> None:
    for example in _augmented(MANY, 60, paste=1.0):
        image, own = example["image"], _numbers(example)[0]
        is_own = np.abs(image.astype(int) - MANY[own].colour).max(axis=2) < 60
        ymin, xmin, ymax, xmax = _pixel_boxes(example)[0]
        assert is_own.sum() >= 0.89 * (ymax - ymin) * (xmax - xmin)


def test_images_without_boxes_and_of_one_row_go_through() -> None:
    odd = [Drawn(30, 40, None), Drawn(1, 50, (0, 10, 1, 30)), Drawn(40, 1, None), *MANY[:2]]
    for number, example in enumerate(_augmented(odd, 60, **ALL)):
        drawn = odd[number % len(odd)]
        assert example["image"].shape == (drawn.height, drawn.width, 3)
        assert np.all(np.isfinite(example["groundtruth_boxes"]))
    without = _augmented([Drawn(30, 40, None)], 10, **ALL)
    assert all(example["groundtruth_boxes"].shape == (0, 4) for example in without)


def test_brightness_moves_all_pixels_alike_and_no_box() -> None:
    flat = [Drawn(20, 20, None)]
    values = [int(e["image"][0, 0, 0]) for e in _augmented(flat, 50, brightness=0.2)]
    assert min(values) >= 128 - 52
    assert max(values) <= 128 + 52
    assert max(values) - min(values) > 50
    example = _augmented(MANY, 1, brightness=0.2, colour=0.5)[0]
    assert _pixel_boxes(example)[0] == pytest.approx(MANY[0].box)


def test_colour_leaves_grey_grey() -> None:
    image = _augmented([Drawn(20, 20, (0, 0, 10, 10), (60, 60, 60))], 1, colour=0.9)[0]["image"]
    assert np.ptp(image.astype(int), axis=2).max() <= 1
    coloured = [
        e["image"][2, 2] for e in _augmented([MANY[0]._replace(box=(0, 0, 9, 9))], 20, colour=0.9)
    ]
    assert np.ptp(coloured, axis=0).max() > 50


def test_a_greyscale_file_is_decoded_and_changed_in_three_channels() -> None:
    import tensorflow as tf
    from official.vision.dataloaders.tf_example_decoder import TfExampleDecoder

    from boxloop.data.examples import encode_example
    from boxloop.data.formats.annotation import Box
    from boxloop.detector.augment import augment_examples

    buffer = io.BytesIO()
    Image.new("L", (40, 30), 90).save(buffer, "PNG")
    values: dict[str, Any] = {"origins": ["human"], "scores": [1.0], "weights": [1.0]}
    record = encode_example(
        buffer.getvalue(),
        image_id="grey.png",
        source_id=1,
        width=40,
        height=30,
        boxes=[Box("pip", 5, 5, 20, 20)],
        class_ids=[1],
        **values,
    )
    dataset = tf.data.Dataset.from_tensors(record).repeat().map(TfExampleDecoder().decode)
    config = AugmentConfig(**ALL)
    changed = augment_examples(dataset, config, class_counts=CLASS_COUNTS, seed=1)
    assert [e["image"].shape for e in changed.take(4)] == [(30, 40, 3)] * 4
    assert changed.element_spec == dataset.element_spec


@pytest.mark.parametrize("experiment", ["retinanet_resnetfpn_coco", "fasterrcnn_resnetfpn_coco"])
def test_model_gardens_parsers_take_the_settings(experiment: str) -> None:
    from official.core import exp_factory
    from official.vision import configs  # noqa: F401  registers the experiments

    from boxloop.detector.augment import parser_overrides

    parser = exp_factory.get_exp_config(experiment).task.train_data.parser
    parser.override(parser_overrides(AugmentConfig(flip=False, scale_max=1.5, rand_augment=7)))
    assert (parser.aug_rand_hflip, parser.aug_scale_min, parser.aug_scale_max) == (False, 0.8, 1.5)
    assert parser.aug_type.randaug.magnitude == 7


def test_what_is_the_parsers_own_is_left_alone_by_default() -> None:
    from official.core import exp_factory
    from official.vision import configs  # noqa: F401  registers the experiments

    from boxloop.detector.augment import parser_overrides

    parser = exp_factory.get_exp_config("retinanet_resnetfpn_coco").task.train_data.parser
    before = parser.as_dict()
    parser.override(parser_overrides(AugmentConfig()))
    assert parser.as_dict() == before


@pytest.mark.parametrize("magnitude", [1, 5, 10])
def test_rand_augment_moves_no_box_and_leaves_a_picture(magnitude: int) -> None:
    import tensorflow as tf
    from official.vision.ops.augment import RandAugment

    from boxloop.detector.augment import parser_overrides

    tf.random.set_seed(magnitude)
    settings = parser_overrides(AugmentConfig(rand_augment=magnitude))["aug_type"]["randaug"]
    augment = RandAugment.build_for_detection(**settings, cutout_const=0)
    gradient = np.linspace(0, 255, 64).astype(np.uint8)
    image = tf.constant(np.broadcast_to(gradient[:, None, None], (64, 64, 3)))
    boxes = tf.constant([[0.2, 0.3, 0.5, 0.6]])
    for _ in range(30):
        changed, moved = augment.distort_with_boxes(image, boxes)
        assert np.array_equal(moved, boxes)
        assert np.ptp(changed.numpy()) > 15


def _augmented(
    drawn: Sequence[Drawn],
    count: int,
    *,
    seed: int = 1,
    threads: int = 2,
    class_counts: Sequence[int] = CLASS_COUNTS,
    **settings: Any,
) -> list[dict[str, Any]]:
    import tensorflow as tf

    from boxloop.detector.augment import augment_examples

    dataset = augment_examples(
        _dataset(drawn), AugmentConfig(**settings), class_counts=class_counts, seed=seed
    )
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    return list(dataset.take(count).with_options(options).as_numpy_iterator())


def _dataset(drawn: Sequence[Drawn]) -> Any:
    import tensorflow as tf

    examples = [_example(one, number) for number, one in enumerate(drawn)]
    shapes = {"image": [None, None, 3], "groundtruth_boxes": [None, 4]}
    signature = {
        name: tf.TensorSpec(
            shapes.get(name, [None] * np.ndim(value)), tf.as_dtype(np.asarray(value).dtype)
        )
        for name, value in examples[0].items()
    }
    signature["source_id"] = tf.TensorSpec([], tf.string)
    return tf.data.Dataset.from_generator(
        lambda: iter(examples), output_signature=signature
    ).repeat()


def _example(drawn: Drawn, number: int) -> dict[str, Any]:
    image = np.full((drawn.height, drawn.width, 3), GREY, np.uint8)
    boxes = [drawn.box] if drawn.box is not None else []
    for ymin, xmin, ymax, xmax in boxes:
        image[ymin:ymax, xmin:xmax] = drawn.colour
    size = [drawn.height, drawn.width] * 2
    return {
        "image": image,
        "source_id": str(number).encode(),
        "height": np.int64(drawn.height),
        "width": np.int64(drawn.width),
        "groundtruth_boxes": (np.array(boxes).reshape(-1, 4) / size).astype(np.float32),
        "groundtruth_classes": np.array([drawn.class_id] * len(boxes), np.int64),
        "groundtruth_is_crowd": np.zeros(len(boxes), bool),
        "groundtruth_area": np.zeros(len(boxes), np.float32),
        "groundtruth_number": np.array([number] * len(boxes), np.float32),
    }


def _pixel_boxes(example: dict[str, Any]) -> list[list[float]]:
    size = np.tile(example["image"].shape[:2], 2)
    boxes: list[list[float]] = (example["groundtruth_boxes"] * size).tolist()
    return boxes


def _numbers(example: dict[str, Any]) -> list[int]:
    """Return the number of the image from which each box came."""
    numbers: list[int] = example["groundtruth_number"].astype(int).tolist()
    return numbers


def _extent(image: NDArray[np.uint8], colour: tuple[int, int, int]) -> list[int]:
    """Return ymin, xmin, ymax, xmax of what has a colour, or is nearer to it than to grey."""
    rows, columns = np.nonzero(np.abs(image.astype(int) - colour).max(axis=2) < 64)
    return [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]


def _digest(examples: list[dict[str, Any]]) -> list[bytes]:
    return [
        example["image"].tobytes() + example["groundtruth_boxes"].tobytes() for example in examples
    ]
