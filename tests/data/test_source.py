from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from tests.data.folders import BOX, HEIGHT, REAL_DATA, WIDTH, Data, picture

from boxloop.data.dataset import BOX_COLUMNS, IMAGE_COLUMNS
from boxloop.data.formats.annotation import Box
from boxloop.data.formats.voc import build_voc
from boxloop.data.source import Source, read_source
from boxloop.settings import DataConfig


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path / "data")


def splits(source: Source) -> dict[str, str]:
    images = source.dataset.images
    return dict(zip(images["image_id"], images["split"], strict=True))


def reasons(source: Source) -> dict[str, str]:
    return dict(zip(source.set_aside["path"], source.set_aside["reason"], strict=True))


def kinds(table: pd.DataFrame) -> Mapping[str, str]:
    return {str(name): str(kind) for name, kind in table.dtypes.items()}


def test_every_file_finds_its_place(data: Data) -> None:
    source = data.read()
    assert splits(source) == {
        **{f"Test_{n}.jpg": "test" for n in range(2)},
        **{f"pool_{n}.jpg": "pool" for n in range(4)},
        **{f"train_{n}.jpg": "train" for n in range(4)},
        **{f"val_{n}.jpg": "validation" for n in range(2)},
    }
    assert source.set_aside.empty
    assert source.truth.empty
    assert source.dataset.class_names == ["ace", "king"]
    assert len(source.dataset.candidates) == 4
    assert list(source.dataset.images["image_id"]) == sorted(splits(source))


def test_tables_are_those_of_the_data_model(data: Data) -> None:
    dataset = data.read().dataset
    assert (kinds(dataset.images), kinds(dataset.boxes)) == (IMAGE_COLUMNS, BOX_COLUMNS)
    image = dataset.images.set_index("image_id").loc["train_1.jpg"]
    assert (image["width"], image["height"], image["image_label"]) == (WIDTH, HEIGHT, "king")
    assert Path(image["uri"]).read_bytes() == picture(1)
    box = dataset.boxes.set_index("image_id").loc["train_1.jpg"]
    assert list(box[["class_name", "xmin", "ymin", "xmax", "ymax"]]) == ["king", 2, 3, 22, 23]
    assert list(box[["origin", "round", "weight"]]) == ["human", 0, 1]
    assert box[["score", "model"]].isna().all()


def test_difficult_boxes_are_used_and_marked(data: Data) -> None:
    hard = BOX._replace(xmax=9, difficult=True)
    data.annotate("train_0.jpg", [BOX, hard])
    data.annotate("pool_0.jpg", [hard], folder="truth")
    source = data.read()
    boxes = source.dataset.boxes
    assert list(boxes.loc[boxes["image_id"] == "train_0.jpg", "difficult"]) == [False, True]
    assert list(source.truth["difficult"]) == [True]


def test_reading_twice_gives_equal_tables(data: Data) -> None:
    first, second = data.read(given_splits=False), data.read(given_splits=False)
    pd.testing.assert_frame_equal(first.dataset.images, second.dataset.images)
    pd.testing.assert_frame_equal(first.dataset.boxes, second.dataset.boxes)


def test_boxes_are_clipped_to_the_image_as_it_is(data: Data) -> None:
    data.annotate("train_0.jpg", [Box("ace", -5, 3, 50, 99), Box("ace", 40, 0, 60, 9), BOX])
    source = data.read()
    boxes = source.dataset.boxes[source.dataset.boxes["image_id"] == "train_0.jpg"]
    corners = boxes[["xmin", "ymin", "xmax", "ymax"]].to_numpy().tolist()
    assert corners == [[0, 3, WIDTH, HEIGHT], [2, 3, 22, 23]]
    assert list(reasons(source)) == ["annotations/train_0.xml: object 2"]


def cut_short(kind: str) -> bytes:
    whole = picture(77, kind, (200, 200))
    return whole[: len(whole) * 2 // 3]


def bad_check_sum() -> bytes:
    """A PNG whose pixels' check sum is wrong, though they can be unpacked."""
    whole = bytearray(picture(77, "PNG"))
    end = whole.index(b"IEND") - 4
    whole[end - 1] ^= 0xFF
    return bytes(whole)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"hello", "not an image, or damaged", id="text"),
        pytest.param(picture(77, "PPM"), "PPM is not supported; convert it", id="ppm"),
        pytest.param(cut_short("JPEG"), "damaged or cut short", id="half a JPEG"),
        pytest.param(cut_short("PNG"), "damaged or cut short", id="half a PNG"),
        pytest.param(bad_check_sum(), "damaged or cut short", id="PNG check sum"),
    ],
)
@pytest.mark.parametrize("name", ["train_0.jpg", "pool_0.jpg"])
def test_unreadable_image_is_set_aside(data: Data, name: str, content: bytes, reason: str) -> None:
    data.write(f"images/{name}", content)
    source = data.read()
    assert reason in reasons(source).pop(f"images/{name}")
    assert len(source.set_aside) == 1
    assert name not in splits(source)
    assert name not in set(source.dataset.boxes["image_id"])


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [40, 60], ids=["over the limit", "over twice the limit"])
def test_too_many_pixels_are_refused(
    data: Data, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.write("images/pool_0.jpg", picture(1, size=(side, side)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    reason = reasons(data.read())["images/pool_0.jpg"]
    assert f"{side} x {side} pixels" in reason or f"{side * side} pixels" in reason
    assert "limit" in reason


def test_png_and_upper_case_suffix_are_accepted(data: Data) -> None:
    data.add("x.PNG", "ace", "pool")
    data.write("images/x.PNG", picture(50, "PNG"))
    assert splits(data.read())["x.PNG"] == "pool"


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        pytest.param(b"<annotation>", "annotations/train_0.xml: is not well-formed XML", id="xml"),
    ],
)
def test_image_with_a_broken_annotation_is_set_aside(data: Data, xml: bytes, reason: str) -> None:
    data.write("annotations/train_0.xml", xml)
    source = data.read()
    assert reason in reasons(source)["images/train_0.jpg"]
    assert "train_0.jpg" not in splits(source)


@pytest.mark.parametrize(
    "xml", [build_voc("a", 1, 1, [BOX]).replace(b">3<", b">three<"), build_voc("a", 1, 1, [])]
)
def test_image_whose_annotation_has_no_usable_box_joins_the_pool(data: Data, xml: bytes) -> None:
    data.write("annotations/train_0.xml", xml)
    assert splits(data.read())["train_0.jpg"] == "pool"


def test_broken_truth_costs_only_the_truth(data: Data) -> None:
    data.write("truth/pool_0.xml", b"<annotation>")
    source = data.read()
    assert "is not well-formed XML" in reasons(source)["truth/pool_0.xml"]
    assert splits(source)["pool_0.jpg"] == "pool"


def test_true_boxes_of_pool_images_are_kept_apart(data: Data) -> None:
    data.annotate("pool_0.jpg", [BOX], folder="truth")
    data.annotate(
        "pool_1.jpg", [BOX, BOX._replace(xmax=9)]
    )  # the user calls it pool: not to be trained on
    data.annotate("train_0.jpg", [BOX], folder="truth")
    source = data.read()
    assert list(source.truth["image_id"]) == ["pool_0.jpg", "pool_1.jpg", "pool_1.jpg"]
    assert kinds(source.truth) == BOX_COLUMNS
    assert not source.dataset.boxes["image_id"].str.startswith("pool").any()


def test_train_image_without_annotation_joins_the_pool(data: Data) -> None:
    data.add("new.jpg", "ace", "train")
    assert splits(data.read())["new.jpg"] == "pool"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param(("gone.jpg", "ace", "pool"), "there is no image gone.jpg", id="gone"),
        pytest.param(
            ("../../x.jpg", "ace", "pool"),
            "'../../x.jpg' leads out of",
            id="leads out",
        ),
        pytest.param(
            ("pool_0.jpg", "king", "pool"),
            "pool_0.jpg was listed before",
            id="twice",
        ),
    ],
)
def test_wrong_row_is_noted(data: Data, row: tuple[str, str, str], reason: str) -> None:
    data.rows.append(row)
    source = data.read()
    assert reason in reasons(source)["image_labels.csv: row 14"]
    assert len(source.dataset.images) == 12


@pytest.mark.parametrize(
    ("label", "split", "reason"),
    [
        pytest.param("", "pool", "no image-level label", id="no label"),
        pytest.param(
            "joker", "pool", "class 'joker' is unknown to the boxed set: box a few", id="class"
        ),
        pytest.param("ace", "later", "split 'later' is none of train, pool", id="split"),
        pytest.param("ace", "test", "in the test split without a usable box", id="test"),
        pytest.param("ace", "val", "in the validation split without", id="validation"),
    ],
)
def test_image_that_no_split_can_use_is_set_aside(
    data: Data, label: str, split: str, reason: str
) -> None:
    data.add("odd.jpg", label, split)
    source = data.read()
    assert reason in reasons(source)["images/odd.jpg"]
    assert len(source.dataset.images) == 12


def test_annotation_that_fits_two_images_goes_to_none_unless_it_names_one(data: Data) -> None:
    data.write("images/train_0.png", picture(60, "PNG"))
    assert len(data.read().dataset.split("train")) == 4
    data.write("annotations/train_0.xml", build_voc("train_0", WIDTH, HEIGHT, [BOX]))
    source = data.read()
    assert "may be train_0.jpg or train_0.png" in reasons(source)["annotations/train_0.xml"]
    assert splits(source)["train_0.jpg"] == "pool"


def test_held_out_boxes_of_a_class_nobody_trains_on_are_dropped_and_noted(data: Data) -> None:
    data.annotate("val_0.jpg", [BOX, BOX._replace(class_name="joker")])
    source = data.read()
    assert "boxes of class 'joker' dropped" in reasons(source)["images/val_0.jpg"]
    assert set(source.dataset.boxes["class_name"]) == {"ace", "king"}


def test_folder_names_are_labels_where_there_is_no_table(tmp_path: Path) -> None:
    data = Data(tmp_path / "data")
    for path in [*(data.folder / "images").iterdir(), *(data.folder / "annotations").iterdir()]:
        path.unlink()
    data.rows.clear()
    for number in range(12):
        data.write(f"images/{'ace' if number < 6 else 'king'}/{number}.jpg", picture(number))
    for number in (0, 1, 2, 6, 7, 8):  # flat beside labelled folders: the name is enough
        data.annotate(f"{number}.jpg", [BOX._replace(class_name="ace" if number < 6 else "king")])
    source = data.read()
    assert source.set_aside.empty
    # of 3 boxed images a class, one each is held out for the test and one for validation
    assert source.dataset.images.groupby(["image_label", "split"]).size().to_dict() == {
        (label, split): num
        for label in ("ace", "king")
        for split, num in (("pool", 3), ("test", 1), ("train", 1), ("validation", 1))
    }
    image = source.dataset.images.iloc[0]
    assert (image["image_id"], image["image_label"]) == ("ace/0.jpg", "ace")


def test_deepest_annotation_wins_and_the_other_is_noted(data: Data) -> None:
    data.add("sub/deep.jpg", "ace", "train")
    data.annotate("deep.jpg", [BOX, BOX._replace(xmax=9)])
    data.annotate("sub/deep.jpg", [BOX])
    source = data.read()
    assert (source.dataset.boxes["image_id"] == "sub/deep.jpg").sum() == 1
    assert "goes with annotations/sub/deep.xml" in reasons(source)["annotations/deep.xml"]


def test_dealing_anew_ignores_the_given_splits(data: Data) -> None:
    dealt = splits(data.read(given_splits=False))
    assert {name for name, split in dealt.items() if split == "pool"} == {
        f"pool_{n}.jpg" for n in range(4)
    }
    # 8 boxed images, 4 a class: round(0.2 * 4) = 1 each for the test, at least 1 for validation
    assert list(dealt.values()).count("test") == 2
    assert list(dealt.values()).count("validation") == 2


def test_boxed_share_moves_boxes_to_the_truth(data: Data) -> None:
    source = data.read(boxed_share=0.5)
    moved = {name for name, split in splits(source).items() if split == "pool"} - {
        f"pool_{n}.jpg" for n in range(4)
    }
    assert set(source.truth["image_id"]) == moved
    assert len(moved) == 2
    assert source.dataset.class_names == ["ace", "king"]


def test_images_that_play_the_pool_are_labelled_by_their_boxes(data: Data) -> None:
    data.write("image_labels.csv", b"filename,split\n")
    source = data.read(boxed_share=0.5, given_splits=False)
    pool = source.dataset.split("pool").set_index("image_id")["image_label"]
    shown = source.truth.set_index("image_id")["class_name"]
    assert len(shown) > 0
    assert pool[shown.index].to_dict() == shown.to_dict()


def test_smallest_boxed_share_keeps_one_image_a_class(data: Data) -> None:
    source = data.read(boxed_share=0.001)
    assert sorted(source.dataset.split("train")["image_label"]) == ["ace", "king"]


def test_near_duplicates_of_test_images_are_used_nowhere_else(data: Data) -> None:
    rows = "path,group\nimages/Test_0.jpg,7\nimages/pool_0.jpg,7\nimages/pool_1.jpg,\n"
    data.write("groups.csv", rows.encode())
    data.write("images/train_0.jpg", picture(4))  # the very bytes of val_0.jpg
    source = data.read()
    assert reasons(source) == {
        "images/pool_0.jpg": "near duplicate of an image in the test split",
        "images/train_0.jpg": "near duplicate of an image in the validation split",
    }
    groups = source.dataset.images.set_index("image_id")["group"]
    assert groups["Test_0.jpg"] == "Test_0.jpg"


@pytest.mark.parametrize(
    ("name", "num_test", "num_boxes"), [("playing_cards", 67, 670), ("microcontrollers", 7, 177)]
)
def test_real_photographs_are_read(name: str, num_test: int, num_boxes: int) -> None:
    folder = REAL_DATA / name
    if not folder.is_dir():
        pytest.skip(f"needs real photographs in {folder}, which are not part of the project")
    config = DataConfig(uri=str(folder), boxed_share=0.5)
    source = read_source(str(folder), config, seed=1)
    assert len(source.dataset.split("test")) == num_test
    assert len(source.set_aside) <= 2  # near duplicates of test images
    assert num_boxes - 10 <= len(source.dataset.boxes) + len(source.truth) <= num_boxes
    num_train, num_pool = (len(source.dataset.split(split)) for split in ("train", "pool"))
    assert abs(num_train - num_pool) <= 50  # each group by its own hash
