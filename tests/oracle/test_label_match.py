import pandas as pd
import pytest

from boxloop.data.dataset import BOX_COLUMNS
from boxloop.oracle.label_match import adopted_boxes, doubtful_boxes, match_labels

DETECTION = ["image_id", "class_name", "score", "xmin", "ymin", "xmax", "ymax"]


def detections(*rows: tuple[str, str, float, float]) -> pd.DataFrame:
    """Rows of image, class, score and xmin; each box is 10 x 10 pixels at y = 0."""
    full = [(image, name, score, x, 0.0, x + 10.0, 10.0) for image, name, score, x in rows]
    types = dict.fromkeys(DETECTION, "float64") | {"image_id": "string", "class_name": "string"}
    return pd.DataFrame(full, columns=DETECTION).astype(types)


def candidates(**labels: str | None) -> pd.DataFrame:
    rows = {"image_id": list(labels), "image_label": list(labels.values())}
    return pd.DataFrame(rows, dtype="string")


@pytest.mark.parametrize(
    ("found", "shown", "reason"),
    [
        pytest.param([("a", "ace", 0.5, 1)], ("ace", 0.5, 1), "adopted", id="just enough"),
        pytest.param(
            [("a", "ace", 0.7, 1), ("a", "ace", 0.8, 2), ("a", "king", 0.99, 3)],
            ("ace", 0.8, 2),
            "adopted",
            id="best of its class, whatever else scores",
        ),
        pytest.param(
            [("a", "king", 0.9, 1), ("a", "ace", 0.49, 2), ("a", "ace", 0.3, 3)],
            ("ace", 0.49, 2),
            "score below 0.5",
            id="right class, low score",
        ),
        pytest.param(
            [("a", "king", 0.7, 1), ("a", "queen", 0.9, 2)],
            ("queen", 0.9, 2),
            "class is not the image's label",
            id="other classes only",
        ),
        pytest.param(
            [("a", "ace", 0.8, 7), ("a", "ace", 0.8, 3)],
            ("ace", 0.8, 3),
            "adopted",
            id="tie goes to the leftmost",
        ),
        pytest.param([("b", "ace", 0.9, 1)], None, "nothing detected", id="nothing detected"),
    ],
)
@pytest.mark.parametrize("is_reversed", [False, True], ids=["in order", "reversed"])
def test_what_an_image_adopts_or_why_not(
    found: list[tuple[str, str, float, float]],
    shown: tuple[str, float, float] | None,
    reason: str,
    is_reversed: bool,
) -> None:
    table = detections(*(found[::-1] if is_reversed else found))
    (row,) = match_labels(table, candidates(a="ace"), min_score=0.5).to_dict("records")
    assert row["reason"] == reason
    assert row["is_adopted"] is (reason == "adopted")
    if shown is None:
        assert pd.isna([row["class_name"], row["score"], row["xmin"], row["ymax"]]).all()
    else:
        assert (row["class_name"], row["score"], row["xmin"]) == shown


def test_every_candidate_has_one_row_and_no_other_image_has() -> None:
    table = detections(("a", "ace", 0.9, 1), ("b", "ace", 0.9, 1), ("b", "ace", 0.8, 1))
    adoptions = match_labels(table, candidates(c="king", b="ace", d=None), min_score=0.5)
    assert list(adoptions["image_id"]) == ["b", "c", "d"]
    assert list(adoptions["is_adopted"]) == [True, False, False]
    assert adoptions["is_adopted"].dtype == bool


def test_image_without_label_adopts_nothing() -> None:
    adoptions = match_labels(detections(("a", "ace", 1, 1)), candidates(a=None), min_score=0)
    assert list(adoptions["reason"]) == ["class is not the image's label"]


@pytest.mark.parametrize("rows", [[], [("a", "ace", 0.9, 1.0)]], ids=["no detections", "no images"])
def test_empty_tables_are_fine(rows: list[tuple[str, str, float, float]]) -> None:
    labels = {} if rows else {"a": "ace"}
    adoptions = match_labels(detections(*rows), candidates(**labels), min_score=0.5)
    assert len(adoptions) == len(labels)
    assert adopted_boxes(adoptions, round_number=1, model="m").empty


def test_adopted_boxes_say_where_they_come_from() -> None:
    table = detections(("b", "king", 0.9, 4), ("a", "king", 0.2, 1))
    adoptions = match_labels(table, candidates(a="king", b="king"), min_score=0.5)
    boxes = adopted_boxes(adoptions, round_number=3, model="round_03")
    assert {name: str(kind) for name, kind in boxes.dtypes.items()} == BOX_COLUMNS
    assert boxes.to_dict("records") == [
        {
            "image_id": "b",
            "class_name": "king",
            "xmin": 4,
            "ymin": 0,
            "xmax": 14,
            "ymax": 10,
            "origin": "adopted",
            "round": 3,
            "score": 0.9,
            "model": "round_03",
            "weight": 1,
            "difficult": False,
        }
    ]


def test_what_else_may_be_an_object_in_an_adopted_image_is_doubtful() -> None:
    found = detections(
        ("a", "ace", 0.9, 0),  # adopted
        ("a", "king", 0.6, 3),  # IoU 70 / 130 > 0.5 with the adopted box: its rival, so wrong
        ("a", "king", 0.5, 4),  # IoU 60 / 140 < 0.5
        ("a", "ace", 0.2, 50),  # another of the same class
        ("a", "queen", 0.19, 80),  # too weak
        ("b", "king", 0.9, 0),  # nothing adopted in its image
    )
    adopted = adopted_boxes(
        match_labels(found, candidates(a="ace", b="ace"), min_score=0.5), round_number=1, model="m"
    )
    doubtful = doubtful_boxes(found, adopted, doubt_score=0.2, round_number=1, model="m")
    assert list(doubtful) == list(BOX_COLUMNS)
    assert doubtful[["image_id", "class_name", "xmin"]].to_numpy().tolist() == [
        ["a", "king", 4],
        ["a", "ace", 50],
    ]
    assert set(doubtful["origin"]) == {"doubtful"}


def test_nothing_is_doubtful_where_nothing_was_adopted() -> None:
    found = detections(("a", "king", 0.9, 0))
    adopted = adopted_boxes(
        match_labels(found, candidates(a="ace"), min_score=0.5), round_number=1, model="m"
    )
    doubtful = doubtful_boxes(found, adopted, doubt_score=0.2, round_number=1, model="m")
    assert doubtful.empty
    assert list(doubtful) == list(BOX_COLUMNS)
