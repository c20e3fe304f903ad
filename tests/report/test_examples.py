import io

import pandas as pd
import pytest
from PIL import Image

from boxloop.report.examples import choose, read_thumbnail


def _jpeg(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(buffer, "JPEG")
    return buffer.getvalue()


def test_examples_take_turns_between_the_classes() -> None:
    names = ["pip"] * 20 + ["tock"] * 20 + ["wisp"]
    rows = pd.DataFrame({"image_id": [f"{i}.jpg" for i in range(41)], "class_name": names})
    chosen = choose(rows, "class_name", 6)
    # one turn of three, one of two since wisp has no second, and the first of the next
    assert sorted(chosen["class_name"].value_counts().to_list()) == [1, 2, 3]


def test_the_choice_does_not_depend_on_the_order_of_rows() -> None:
    rows = pd.DataFrame({"image_id": [f"{i}.jpg" for i in range(30)], "class_name": "pip"})
    chosen = choose(rows, "class_name", 5)["image_id"].to_list()
    assert choose(rows[::-1], "class_name", 5)["image_id"].to_list() == chosen
    assert choose(rows.head(0), "class_name", 5).empty


def test_a_thumbnail_is_small_and_remembers_the_size_it_had() -> None:
    thumbnail = read_thumbnail("a.jpg", lambda uri: _jpeg(880, 440))
    assert thumbnail is not None
    assert (thumbnail.width, thumbnail.height) == (880, 440)
    assert thumbnail.data_uri.startswith("data:image/jpeg;base64,")
    assert len(thumbnail.data_uri) < 4000


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(_jpeg(880, 440)[:2000], id="cut off"),
        pytest.param(b"<svg/>", id="no pixels"),
    ],
)
def test_an_unreadable_image_gives_no_thumbnail(content: bytes) -> None:
    assert read_thumbnail("a.jpg", lambda uri: content) is None


def test_a_missing_image_gives_no_thumbnail() -> None:
    def missing(uri: str) -> bytes:
        raise FileNotFoundError(uri)

    assert read_thumbnail("a.jpg", missing) is None
