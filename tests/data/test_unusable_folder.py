from pathlib import Path

import pytest
from tests.data.folders import Data

from boxloop.data.source import read_source
from boxloop.settings import DataConfig


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path / "data")


def remove(data: Data, *patterns: str) -> None:
    for pattern in patterns:
        for path in data.folder.glob(pattern):
            path.unlink()


@pytest.mark.parametrize(
    ("removed", "error", "message"),
    [
        pytest.param(["*/*"], FileNotFoundError, "there is nothing in images/", id="no images"),
        pytest.param(
            ["annotations/*"], ValueError, "no boxed image is left to train on", id="no boxes"
        ),
        pytest.param(["images/pool*"], ValueError, "the candidate pool is empty", id="no pool"),
        pytest.param(
            ["images/train_[123]*", "images/val*"],
            ValueError,
            "no boxed image is left for the validation split",
            id="one training image",
        ),
        pytest.param(
            ["images/train*"], ValueError, "no boxed image is left to train on", id="train"
        ),
        pytest.param(
            ["images/val*", "images/Test*", "images/train_[123]*"],
            ValueError,
            "no boxed image is left for the test split",
            id="one boxed image",
        ),
    ],
)
def test_folder_of_which_no_experiment_can_be_made_is_an_error(
    data: Data, removed: list[str], error: type[Exception], message: str
) -> None:
    remove(data, *removed)
    with pytest.raises(error, match=message):
        data.read()


def test_error_names_what_was_set_aside(data: Data) -> None:
    for path in (data.folder / "images").glob("pool*"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"\(4 set aside: 'images/pool_0.jpg': the file is empty"):
        data.read()


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such folder, or it is empty"):
        read_source(str(tmp_path / "none"), DataConfig(uri="none"), seed=1)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        pytest.param(
            b"file,label\n", "column filename is missing; there are file, label", id="col"
        ),
        pytest.param(b"", "column filename is missing", id="empty"),
        pytest.param("filename,image_label\nü".encode("latin-1"), "is not UTF-8", id="encoding"),
    ],
)
def test_wrong_table_is_an_error(data: Data, table: bytes, message: str) -> None:
    data.rows.clear()
    data.write("image_labels.csv", table)
    with pytest.raises(ValueError, match=f"image_labels.csv: {message}"):
        data.read()
