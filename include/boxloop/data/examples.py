"""TFRecord shards of tf.train.Example messages, written without TensorFlow.

Both formats are small and fixed, and importing TensorFlow takes seconds and half a gigabyte.
Encoded image bytes are copied, never decoded. Keys are those that Model Garden's
TfExampleDecoder reads; origin, score and weight of a box are our own, and it passes over them.

Source: https://protobuf.dev/programming-guides/encoding and, for the record's frame,
https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache

import google_crc32c

from boxloop.data.formats.annotation import Box

_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3  # field numbers in tf.train.Feature


def encode_example(
    image_bytes: bytes,
    *,
    image_id: str,
    source_id: int,
    width: int,
    height: int,
    boxes: Sequence[Box],
    class_ids: Sequence[int],
    origins: Sequence[str],
    scores: Sequence[float],
    weights: Sequence[float],
) -> bytes:
    """Return one serialised tf.train.Example; the same arguments always give the same bytes.

    Args:
        image_bytes: a JPEG or PNG file.
        image_id: goes into image/filename.
        source_id: a number that no other example of the split has; the COCO evaluator keeps it
            in a float32, so it must be below 2**24.
        width: the image's, pixels.
        height: the image's, pixels.
        boxes: pixels, 0-based, max edge exclusive; stored normalised to [0, 1].
        class_ids: one for each box, from 1; 0 is background.
        origins: one for each box: human, adopted, reviewed or doubtful.
        scores: one for each box, in [0, 1]; 1 for a person's.
        weights: one for each box: what it counts for in training.

    Raises:
        ValueError: if the ids do not fit, or some box lacks a value.
    """
    _check_ids(image_id, source_id, class_ids)
    _check_counts(
        image_id, len(boxes), ids=class_ids, origins=origins, scores=scores, weights=weights
    )
    image_format = b"png" if image_bytes.startswith(b"\x89PNG") else b"jpeg"
    features = {
        "image/filename": _bytes_feature([image_id.encode()]),
        "image/format": _bytes_feature([image_format]),
        "image/height": _int64_feature([height]),
        **_box_features(boxes, class_ids, width, height),
        "image/object/origin": _bytes_feature([origin.encode() for origin in origins]),
        "image/object/score": _float_feature(scores),
        "image/object/weight": _float_feature(weights),
        "image/source_id": _bytes_feature([b"%d" % source_id]),
        "image/width": _int64_feature([width]),
    }
    # entries are in order of their keys; the image goes in by a single join, it may be large
    encoded = [_key("image/encoded"), *_nest([image_bytes], 1, _BYTES_LIST, 2)]
    return b"".join(_nest([*_nest(encoded, 1), _map_entries(features)], 1))


def _box_features(
    boxes: Sequence[Box], class_ids: Sequence[int], width: int, height: int
) -> dict[str, bytes]:
    areas = [(box.xmax - box.xmin) * (box.ymax - box.ymin) for box in boxes]
    return {
        "image/object/area": _float_feature(areas),
        "image/object/bbox/xmax": _float_feature([box.xmax / width for box in boxes]),
        "image/object/bbox/xmin": _float_feature([box.xmin / width for box in boxes]),
        "image/object/bbox/ymax": _float_feature([box.ymax / height for box in boxes]),
        "image/object/bbox/ymin": _float_feature([box.ymin / height for box in boxes]),
        "image/object/class/label": _int64_feature(class_ids),
        "image/object/class/text": _bytes_feature([box.class_name.encode() for box in boxes]),
        "image/object/is_crowd": _int64_feature([0] * len(boxes)),
    }


def frame(record: bytes) -> tuple[bytes, bytes, bytes]:
    """Return a record as TFRecord stores it: length and its check sum, data, its check sum."""
    length = struct.pack("<Q", len(record))
    return length + _masked_crc(length), record, _masked_crc(record)


def build_shard(records: Iterable[bytes]) -> bytes:
    """Return the content of a TFRecord file with these records."""
    return b"".join(part for record in records for part in frame(record))


def _check_ids(image_id: str, source_id: int, class_ids: Sequence[int]) -> None:
    if not 0 <= source_id < 2**24:
        raise ValueError(f"{image_id}: source_id must be in [0, 2**24), got {source_id}")
    if class_ids and min(class_ids) < 1:
        raise ValueError(f"{image_id}: class ids start at 1, got {min(class_ids)}")


def _check_counts(image_id: str, num_boxes: int, **values: Sequence[object]) -> None:
    for name, found in values.items():
        if len(found) != num_boxes:
            raise ValueError(f"{image_id}: {num_boxes} boxes need as many {name}: {len(found)}")


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    rotated = (crc >> 15) | (crc << 17)
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)


def _map_entries(features: dict[str, bytes]) -> bytes:
    """Return a protobuf map: messages of key (field 1) and value (field 2)."""
    parts: list[bytes] = []
    for name, value in features.items():
        key, head = _key(name), _head(2, len(value))
        parts += (_head(1, len(key) + len(head) + len(value)), key, head, value)
    return b"".join(parts)


@cache
def _key(key: str) -> bytes:
    return _message(1, key.encode())


def _bytes_feature(values: Sequence[bytes]) -> bytes:
    return _message(_BYTES_LIST, b"".join([_message(1, value) for value in values]))


def _float_feature(values: Sequence[float]) -> bytes:
    return _packed_feature(_FLOAT_LIST, struct.pack(f"<{len(values)}f", *values))


def _int64_feature(values: Sequence[int]) -> bytes:
    return _packed_feature(_INT64_LIST, b"".join([_varint(value) for value in values]))


def _packed_feature(kind: int, packed: bytes) -> bytes:
    return _message(kind, _message(1, packed) if packed else b"")


def _message(field_number: int, payload: bytes) -> bytes:
    """Return a length-delimited field (wire type 2)."""
    return _head(field_number, len(payload)) + payload


def _nest(parts: list[bytes], *field_numbers: int) -> list[bytes]:
    """Return the pieces of a message in a message in a message, the innermost first."""
    for field_number in field_numbers:
        parts = [_head(field_number, sum(map(len, parts))), *parts]
    return parts


@lru_cache(maxsize=4096)
def _head(field_number: int, length: int) -> bytes:
    return _varint(field_number << 3 | 2) + _varint(length)


@lru_cache(maxsize=4096)
def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
