import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from boxloop import records, storage
from boxloop.data.dataset import BOX_COLUMNS, IMAGE_COLUMNS, Dataset, build_table
from boxloop.data.examples import encode_example
from boxloop.data.formats.annotation import Box
from boxloop.records import read_manifest, shard_uris, write_records

SPLITS = ["train", "train", "train", "train", "test", "validation", "pool"]
NAMES = [f"{split}_{number}" for number, split in enumerate(SPLITS)]


def picture(number: int, kind: str = "JPEG", mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (number * 30, 50, 99)).convert(mode).save(buffer, kind)
    return buffer.getvalue()


class Data:
    """Seven images, one box each but for the pool's; they can be changed and written again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = {name: picture(number) for number, name in enumerate(NAMES)}
        self.boxes: list[dict[str, object]] = []
        for name in NAMES[:-1]:
            self.add_box(name)

    def add_box(self, name: str, **changed: object) -> None:
        box = {"xmin": 1, "ymin": 2, "xmax": 5, "ymax": 4, "class_name": "ace", "weight": 1}
        self.boxes.append({"image_id": name, "origin": "human", "round": 0} | box | changed)

    def dataset(self) -> Dataset:
        rows: list[dict[str, object]] = []
        for name, data in sorted(self.images.items()):
            uri = str(self.folder / name)
            storage.write_bytes(uri, data)
            row = {"image_id": name, "uri": uri, "sha256": storage.digest(uri)}
            rows.append({**row, "width": 8, "height": 6, "split": name.partition("_")[0]})
        return Dataset(build_table(rows, IMAGE_COLUMNS), build_table(self.boxes, BOX_COLUMNS))

    def write(self, version: int, previous: pd.DataFrame | None = None) -> pd.DataFrame:
        return write_records(f"{self.folder}/v{version}", self.dataset(), previous)

    def written(self, version: int) -> list[str]:
        """Names of the files of a version, less the manifest."""
        uris = storage.list_files(f"{self.folder}/v{version}")
        return [Path(uri).name for uri in uris if not uri.endswith("manifest.parquet")]


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path)


def examples(uri: str) -> Iterator[bytes]:
    content = storage.read_bytes(uri)
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield content[12 : 12 + length]
        content = content[16 + length :]


def num_by_shard(manifest: pd.DataFrame, split: str = "train") -> dict[str, int]:
    """Return version and name of a split's shards, and how many examples each has."""
    uris = [Path(uri) for uri in shard_uris(manifest, split)]
    return {f"{uri.parent.name}/{uri.name}": len(list(examples(str(uri)))) for uri in uris}


def test_every_split_has_its_examples_and_the_manifest_names_them(data: Data) -> None:
    manifest = data.write(1)
    assert manifest.equals(read_manifest(f"{data.folder}/v1"))
    assert manifest["image_id"].tolist() == [*NAMES[:4], "validation_5", "test_4"]
    for split, num in (("train", 4), ("validation", 1), ("test", 1)):
        assert num_by_shard(manifest, split) == {f"v1/{split}-00000-of-00001.tfrecord": num}


def test_example_has_the_image_as_it_is_and_where_its_boxes_come_from(data: Data) -> None:
    data.add_box("train_1", class_name="king", score=0.25, weight=0.5, origin="adopted")
    data.add_box("train_1", class_name="ace", score=0.125, origin="doubtful")
    data.add_box("train_0", class_name="king")
    (uri,) = shard_uris(data.write(1), "train")
    assert list(examples(uri))[1] == encode_example(
        data.images["train_1"],
        image_id="train_1",
        source_id=2,
        width=8,
        height=6,
        boxes=[Box(name, 1, 2, 5, 4) for name in ("ace", "king", "ace")],
        class_ids=[1, 2, 3],
        origins=["human", "adopted", "doubtful"],
        scores=[1.0, 0.25, 0.125],
        weights=[1.0, 0.5, 1.0],
    )


@pytest.mark.parametrize(
    ("kind", "mode"), [("GIF", "L"), ("BMP", "RGB"), ("WEBP", "RGB"), ("TIFF", "CMYK")]
)
def test_an_image_that_tensorflow_does_not_read_is_converted(
    data: Data, kind: str, mode: str
) -> None:
    data.images["train_1"] = picture(3, kind, mode)
    (uri,) = shard_uris(data.write(1), "train")
    example = list(examples(uri))[1]
    assert data.images["train_1"] not in example
    assert b"\x89PNG" in example


def test_writing_again_gives_the_same_bytes(data: Data) -> None:
    data.write(1)
    before = {uri: storage.read_bytes(uri) for uri in storage.list_files(f"{data.folder}/v1")}
    data.write(1)
    assert before == {uri: storage.read_bytes(uri) for uri in before}


def test_unchanged_input_writes_no_shard(data: Data) -> None:
    first = data.write(1)
    assert data.write(2, first).equals(first)
    assert data.written(2) == []


def test_order_of_images_and_boxes_of_others_plays_no_part(data: Data) -> None:
    first = data.write(1)
    data.boxes.reverse()
    assert data.write(2, first).equals(first)


def test_new_examples_go_into_shards_of_their_own(data: Data) -> None:
    first = data.write(1)
    data.add_box("pool_6", origin="adopted", score=0.9)
    second = data.write(2, first)
    assert data.written(2) == ["train-00000-of-00001.tfrecord"]
    assert num_by_shard(second) == {
        "v1/train-00000-of-00001.tfrecord": 4,
        "v2/train-00000-of-00001.tfrecord": 1,
    }
    assert second.iloc[4][["image_id", "source_id"]].tolist() == ["pool_6", 5]
    assert shard_uris(second, "test") == shard_uris(first, "test")


@pytest.fixture
def two_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a shard have two images of 8 x 6 pixels."""
    monkeypatch.setattr(records, "PIXELS_PER_SHARD", 2 * 8 * 6)


@pytest.mark.usefixtures("two_a_shard")
def test_images_are_dealt_to_shards_of_bounded_size(data: Data) -> None:
    manifest = data.write(1)
    assert num_by_shard(manifest) == {f"v1/train-0000{i}-of-00002.tfrecord": 2 for i in (0, 1)}
    assert manifest["image_id"].tolist()[:4] == ["train_0", "train_2", "train_1", "train_3"]


@pytest.mark.usefixtures("two_a_shard")
def test_a_changed_example_costs_its_own_shard_only(data: Data) -> None:
    first = data.write(1)
    data.add_box("train_2", class_name="ace", weight=0.5)
    second = data.write(2, first)
    assert num_by_shard(second) == {
        "v1/train-00001-of-00002.tfrecord": 2,
        "v2/train-00000-of-00001.tfrecord": 2,
    }
    ids = first.set_index("image_id")["source_id"]
    assert second.set_index("image_id")["source_id"].sort_index().equals(ids.sort_index())


@pytest.mark.usefixtures("two_a_shard")
def test_an_example_that_went_away_is_in_no_shard(data: Data) -> None:
    first = data.write(1)
    del data.images["train_0"]
    second = data.write(2, first)
    assert num_by_shard(second) == {
        "v1/train-00001-of-00002.tfrecord": 2,
        "v2/train-00000-of-00001.tfrecord": 1,
    }
    data.images["train_9"] = picture(9)
    data.add_box("train_9")
    third = data.write(3, second)
    assert third.loc[third["split"] == "train", "source_id"].is_unique


def add_class(data: Data) -> None:
    data.add_box("train_0", class_name="aardvark")


def change_image(data: Data) -> None:
    data.images["train_0"] = picture(77)


def move_box(data: Data) -> None:
    data.boxes[0]["xmin"] = 1 + 2**-40


def review_box(data: Data) -> None:
    data.boxes[0]["origin"] = "reviewed"


@pytest.mark.parametrize(
    ("change", "num_written"),
    [
        pytest.param(add_class, 4, id="every class id"),
        pytest.param(change_image, 2, id="image"),
        pytest.param(move_box, 2, id="box"),
        pytest.param(review_box, 2, id="origin"),
    ],
)
@pytest.mark.usefixtures("two_a_shard")
def test_all_that_makes_an_example_counts(
    data: Data, change: Callable[[Data], None], num_written: int
) -> None:
    data.add_box("train_2", class_name="king")
    first = data.write(1)
    change(data)
    second = data.write(2, first)
    train = second[second["split"] == "train"]
    assert train["shard"].str.contains("/v2/").sum() == num_written


@pytest.mark.parametrize(
    ("num", "pixels", "size"),
    [
        pytest.param(10, 256 * 256, 256, id="few"),
        pytest.param(20_000, 256 * 256, 256, id="as many as ever"),
        pytest.param(1_000_000, 100 * 100, 2_000, id="500 shards at most"),
        pytest.param(2_000, 12_000_000, 10, id="from a camera"),
        pytest.param(3, 200_000_000, 1, id="huge"),
    ],
)
def test_size_of_a_shard_bounds_their_number_and_what_one_change_costs(
    num: int, pixels: int, size: int
) -> None:
    images = pd.DataFrame({"width": [pixels] * num, "height": 1})
    assert records._shard_size(images) == size


def test_earlier_shards_are_not_written_over(data: Data) -> None:
    first = data.write(1)
    with pytest.raises(ValueError, match="earlier shards are here, choose another folder"):
        data.write(1, first)


def test_a_split_without_images_has_no_shard(data: Data) -> None:
    del data.images["validation_5"]
    assert shard_uris(data.write(1), "validation") == []


def test_there_is_no_manifest_before_all_shards_are_there(data: Data) -> None:
    dataset = data.dataset()
    (data.folder / "test_4").unlink()
    with pytest.raises(FileNotFoundError, match="test_4"):
        write_records(f"{data.folder}/v1", dataset, None)
    assert data.written(1) != []
    with pytest.raises(FileNotFoundError):
        read_manifest(f"{data.folder}/v1")


def test_an_image_that_was_damaged_since_it_was_imported_is_named(data: Data) -> None:
    data.images["test_4"] = b"no image"
    with pytest.raises(ValueError, match="test_4: not an image"):
        data.write(1)


def test_an_image_that_is_another_than_the_one_that_was_boxed_is_named(data: Data) -> None:
    dataset = data.dataset()
    storage.write_bytes(f"{data.folder}/train_0", picture(99))
    with pytest.raises(ValueError, match="train_0: has changed since its boxes were read"):
        write_records(f"{data.folder}/v1", dataset, None)
