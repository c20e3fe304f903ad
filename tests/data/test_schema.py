"""Tables that earlier versions of Boxloop have written, as they were, and those of later ones."""

import io
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from boxloop import storage
from boxloop.data.dataset import (
    BOX_COLUMNS,
    IMAGE_COLUMNS,
    build_table,
    from_parquet,
    read_dataset,
    to_parquet,
)
from boxloop.data.schema import VERSION

# as the first version wrote them, on 22 November 2026: no is_hidden
OLD_IMAGE = {
    "image_id": "cats/1.jpg",
    "uri": "/photos/images/cats/1.jpg",
    "sha256": "ab",
    "width": 8,
    "height": 6,
    "image_label": "cat",
    "split": "train",
    "group": "cats/1.jpg",
}
# nor difficult, author, mode, reason
OLD_BOX = {
    "image_id": "cats/1.jpg",
    "class_name": "cat",
    "xmin": 1.0,
    "ymin": 2.0,
    "xmax": 5.0,
    "ymax": 6.0,
    "origin": "human",
    "round": 0,
    "score": None,
    "model": None,
    "weight": 1.0,
}


def written_of_old(row: dict[str, object], columns: dict[str, str]) -> bytes:
    """Return a table as the versions of before wrote it: by pandas, with no version in it."""
    kinds = {name: kind for name, kind in columns.items() if name in row}
    buffer = io.BytesIO()
    pd.DataFrame([row]).astype(kinds).to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images.parquet").write_bytes(written_of_old(OLD_IMAGE, IMAGE_COLUMNS))
    (tmp_path / "boxes.parquet").write_bytes(written_of_old(OLD_BOX, BOX_COLUMNS))
    return tmp_path


def test_a_dataset_of_the_first_version_is_read_as_one_of_today(folder: Path) -> None:
    dataset = read_dataset(str(folder))
    pd.testing.assert_frame_equal(dataset.images, build_table([OLD_IMAGE], IMAGE_COLUMNS))
    pd.testing.assert_frame_equal(dataset.boxes, build_table([OLD_BOX], BOX_COLUMNS))
    assert not dataset.boxes["difficult"].any()
    assert dataset.class_names == ["cat"]
    merged = dataset.next_version(dataset.boxes[:0], dataset.boxes[:0], dataset.refused)
    assert {name: str(kind) for name, kind in merged.boxes.dtypes.items()} == BOX_COLUMNS


def test_a_table_between_two_versions_gets_what_it_lacks_and_keeps_what_it_has(
    folder: Path,
) -> None:
    row = OLD_BOX | {"difficult": True}
    (folder / "boxes.parquet").write_bytes(written_of_old(row, BOX_COLUMNS))
    boxes = read_dataset(str(folder)).boxes
    assert list(boxes["difficult"]) == [True]
    assert boxes["mode"].isna().all()


def test_what_is_written_says_its_version() -> None:
    data = to_parquet(build_table([OLD_BOX], BOX_COLUMNS))
    metadata = pq.read_metadata(io.BytesIO(data)).metadata
    assert metadata[b"boxloop_schema"] == str(VERSION).encode()
    assert b"pandas" in metadata  # its types, which other programs read


def of_later(data: bytes) -> bytes:
    table = pq.read_table(io.BytesIO(data))
    metadata = {**table.schema.metadata, b"boxloop_schema": str(VERSION + 1).encode()}
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["images", "boxes"])
def test_a_newer_table_is_refused_with_what_to_do(folder: Path, name: str) -> None:
    path = folder / f"{name}.parquet"
    path.write_bytes(of_later(path.read_bytes()))
    said = rf"{name}\.parquet: the table has schema {VERSION + 1}, .* {VERSION}: .* up to date"
    with pytest.raises(ValueError, match=said):
        read_dataset(str(folder))
    with pytest.raises(ValueError, match="written by a newer one"):
        from_parquet(storage.read_bytes(str(path)))
