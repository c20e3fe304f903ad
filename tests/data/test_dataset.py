import pandas as pd
import pytest

from boxloop.data.dataset import (
    BOX_COLUMNS,
    IMAGE_COLUMNS,
    Dataset,
    build_table,
    from_parquet,
    to_parquet,
)


def box(image_id: str, class_name: str, origin: str = "human") -> dict[str, object]:
    return {"image_id": image_id, "class_name": class_name, "origin": origin, "round": 0}


@pytest.fixture
def dataset() -> Dataset:
    splits = {"a": "train", "b": "train", "p": "pool", "q": "pool", "t": "test"}
    images: list[dict[str, object]] = [
        {"image_id": image_id, "split": split, "width": 8, "height": 8}
        for image_id, split in splits.items()
    ]
    boxes = [
        box("a", "king"),
        box("a", "ace"),
        box("p", "nine", "adopted"),
        box("t", "ten"),
    ]
    return Dataset(build_table(images, IMAGE_COLUMNS), build_table(boxes, BOX_COLUMNS))


def test_class_names_are_those_of_human_boxes_in_the_train_split(dataset: Dataset) -> None:
    assert dataset.class_names == ["ace", "king"]


def test_an_adopted_box_moves_a_pool_image_to_the_training_images(dataset: Dataset) -> None:
    assert list(dataset.training_images["image_id"]) == ["a", "p"]
    assert list(dataset.candidates["image_id"]) == ["p", "q"]  # an adopted one is judged again
    assert list(dataset.split("test")["image_id"]) == ["t"]


@pytest.mark.parametrize("rows", [[], [box("a", "king")]], ids=["empty", "one row"])
def test_tables_have_the_columns_and_types_of_the_data_model(rows: list[dict[str, object]]) -> None:
    built = build_table(rows, BOX_COLUMNS)
    assert {name: str(kind) for name, kind in built.dtypes.items()} == BOX_COLUMNS
    assert built["score"].isna().all()
    assert not built["difficult"].any()


def test_parquet_comes_back_as_it_was_and_is_the_same_bytes_each_time(dataset: Dataset) -> None:
    data = to_parquet(dataset.images)
    pd.testing.assert_frame_equal(from_parquet(data), dataset.images)
    assert to_parquet(from_parquet(data)) == data


def test_parquet_does_not_keep_the_order_number_of_rows(dataset: Dataset) -> None:
    assert list(from_parquet(to_parquet(dataset.split("pool"))).index) == [0, 1]
