import struct
from pathlib import Path
from typing import Any

import pytest

from boxloop.data.examples import build_shard, encode_example, frame
from boxloop.data.formats.annotation import Box

JPEG = b"\xff\xd8" + bytes(range(256)) * 2  # never decoded, so it need not be a picture
BOXES = [Box("ace", 0, 10, 50, 20), Box("größe", 25, 0, 100, 40)]


def encode(**changed: Any) -> bytes:
    arguments: dict[str, Any] = {
        "image_id": "x/a.jpg",
        "source_id": 300,
        "width": 100,
        "height": 40,
        "boxes": BOXES,
        "class_ids": [1, 200],
        "origins": ["human", "adopted"],
        "scores": [1.0, 0.75],
        "weights": [1.0, 0.5],
    }
    return encode_example(JPEG, **{**arguments, **changed})


def test_record_is_framed_with_length_and_masked_check_sums() -> None:
    header, data, footer = frame(b"123456789")
    assert data == b"123456789"
    assert header[:8] == struct.pack("<Q", 9)
    # CRC-32C of "123456789" is E3069283 (RFC 3720); turned right by 15 it is 2507C60D,
    # plus A282EAD8 it is C78AB0E5
    assert footer == bytes.fromhex("e5b08ac7")


def test_same_arguments_give_the_same_bytes() -> None:
    assert encode() == encode()


def test_image_is_in_the_example_byte_for_byte() -> None:
    assert JPEG in encode()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"class_ids": [1]}, "x/a.jpg: 2 boxes need as many ids: 1", id="too few"),
        pytest.param({"origins": []}, "2 boxes need as many origins: 0", id="no origins"),
        pytest.param({"scores": [1.0]}, "2 boxes need as many scores: 1", id="one score"),
        pytest.param({"weights": [1.0] * 3}, "as many weights: 3", id="three weights"),
        pytest.param({"class_ids": [0, 1]}, "class ids start at 1, got 0", id="background"),
        pytest.param({"source_id": 2**24}, "source_id must be in", id="not exact in float32"),
        pytest.param({"source_id": -1}, "source_id must be in", id="negative"),
    ],
)
def test_what_does_not_fit_the_boxes_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode(**changed)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # TensorFlow's own
def test_tensorflow_reads_what_was_written(tmp_path: Path) -> None:
    import tensorflow as tf

    nothing: dict[str, Any] = dict.fromkeys(
        ("boxes", "class_ids", "origins", "scores", "weights"), ()
    )
    records = [encode(), encode(**nothing)]
    path = tmp_path / "train-00000-of-00001.tfrecord"
    path.write_bytes(build_shard(records))
    read = [item.numpy() for item in tf.data.TFRecordDataset(str(path))]
    assert read == records

    boxed, empty = (tf.train.Example.FromString(record).features.feature for record in records)
    assert boxed["image/encoded"].bytes_list.value[:] == [JPEG]
    assert boxed["image/filename"].bytes_list.value[:] == [b"x/a.jpg"]
    assert boxed["image/source_id"].bytes_list.value[:] == [b"300"]
    assert boxed["image/format"].bytes_list.value[:] == [b"jpeg"]
    assert boxed["image/height"].int64_list.value[:] == [40]
    assert boxed["image/width"].int64_list.value[:] == [100]
    corners = {
        key: boxed[f"image/object/bbox/{key}"].float_list.value[:]
        for key in ("xmin", "xmax", "ymin", "ymax")
    }
    assert corners == {
        "xmin": [0, 0.25],
        "xmax": [0.5, 1],
        "ymin": [0.25, 0],
        "ymax": [0.5, 1],
    }
    assert boxed["image/object/area"].float_list.value[:] == [50 * 10, 75 * 40]
    assert boxed["image/object/class/label"].int64_list.value[:] == [1, 200]
    assert boxed["image/object/class/text"].bytes_list.value[:] == [b"ace", "größe".encode()]
    assert boxed["image/object/is_crowd"].int64_list.value[:] == [0, 0]
    assert boxed["image/object/origin"].bytes_list.value[:] == [b"human", b"adopted"]
    assert boxed["image/object/score"].float_list.value[:] == [1, 0.75]
    assert boxed["image/object/weight"].float_list.value[:] == [1, 0.5]
    assert sorted(empty) == sorted(boxed)
    assert empty["image/object/bbox/xmin"].WhichOneof("kind") == "float_list"
    # protobuf's own deterministic form is the very same
    for record in records:
        message = tf.train.Example.FromString(record)
        assert message.SerializeToString(deterministic=True) == record
