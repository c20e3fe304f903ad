import pandas as pd
import pytest
from tests.oracle.pools import detections, place

from boxloop.data.dataset import BOX_COLUMNS, IMAGE_COLUMNS, Dataset, build_table
from boxloop.oracle.rehearsal import rehearse
from boxloop.oracle_settings import OracleConfig

COUNT = 40


def boxed(split: str, image_id: str, name: str) -> tuple[dict[str, object], dict[str, object]]:
    box = {"image_id": image_id, "class_name": name, "origin": "human", "round": 0, "weight": 1.0}
    size: dict[str, object] = {"width": 100, "height": 10}
    return {"image_id": image_id, "split": split, **size}, {**box, **place(0)}


@pytest.fixture
def dataset() -> Dataset:
    """40 validation images of an ace at 0, and training images of both classes."""
    rows = [boxed("validation", f"v{number:02d}", "ace") for number in range(COUNT)]
    rows += [boxed("train", "a", "ace"), boxed("train", "k", "king")]
    images, boxes = zip(*rows, strict=True)
    return Dataset(build_table([*images], IMAGE_COLUMNS), build_table([*boxes], BOX_COLUMNS))


def found(num_wrong: int, wrong_score: float) -> pd.DataFrame:
    """Return an ace in each image, right but for some."""
    rows = [
        (f"v{number:02d}", "ace", wrong_score if number < num_wrong else 0.9, x)
        for number in range(COUNT)
        for x in [50.0 if number < num_wrong else 1.0]
    ]
    return detections(*rows)


def test_it_tells_what_a_known_pool_would(dataset: Dataset) -> None:
    config = OracleConfig(target_precision=0.9)
    all_right = rehearse(found(0, 0.9), dataset, config)
    assert all_right["ace"] == {"precision": 1, "recall": 1, "mean_iou": pytest.approx(9 / 11)}
    assert all_right["king"] == {"precision": None, "recall": None, "mean_iou": None}
    low = OracleConfig(target_precision=0.7)
    same_score = rehearse(found(10, 0.9), dataset, low)  # nothing tells right from wrong
    assert (same_score["ace"]["precision"], same_score["ace"]["recall"]) == (0.75, 0.75)
    refused = rehearse(found(10, 0.9), dataset, config)  # so for more than that, nothing is right
    assert (refused["ace"]["precision"], refused["ace"]["recall"]) == (None, 0)
    weaker = rehearse(found(10, 0.3), dataset, config)
    assert (weaker["ace"]["precision"], weaker["ace"]["recall"]) == (1, 0.75)


def test_no_image_is_judged_by_a_bar_that_it_helped_to_set(dataset: Dataset) -> None:
    """Its one wrong box, alone in its score, would set the bar above itself."""
    told = rehearse(found(1, 0.95), dataset, OracleConfig(target_precision=0.9))
    assert told["ace"]["precision"] == pytest.approx(39 / 40)


def test_nothing_to_rehearse_on_is_no_error(dataset: Dataset) -> None:
    train = Dataset(dataset.split("train"), dataset.boxes)
    nothing = {"precision": None, "recall": None, "mean_iou": None}
    assert rehearse(detections(), train, OracleConfig()) == {"ace": nothing, "king": nothing}
