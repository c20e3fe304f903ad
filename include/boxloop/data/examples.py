"""TFRecord shards of tf.train.Example messages, written without TensorFlow.

Both formats are small and fixed, and importing TensorFlow takes seconds and half a gigabyte.
Encoded image bytes are copied, never decoded. Keys are those that Model Garden's
TfExampleDecoder reads.

Source: https://protobuf.dev/programming-guides/encoding and, for the record's frame,
https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import google_crc32c

from boxloop.data.formats.voc import Box

_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3  # field numbers in tf.train.Feature
_Parts = list[bytes]  # a message in pieces, so that an image is copied once, by the last join


def encode_example(
    image_bytes: bytes,
    *,
    image_id: str,
    source_id: int,
    width: int,
    height: int,
    boxes: Sequence[Box],
    class_ids: Sequence[int],
) -> bytes:
    """Return one serialised tf.train.Example; the same arguments always give the same bytes.

    Args:
        image_bytes: a JPEG or PNG file.
        image_id: goes into image/filename.
        source_id: a number that no other example of the data set has; the COCO evaluator keeps
            it in a float32, so it must be below 2**24.
        width: the image's, pixels.
        height: the image's, pixels.
        boxes: pixels, 0-based, max edge exclusive; stored normalised to [0, 1].
        class_ids: one for each box, from 1; 0 is background.

    Raises:
        ValueError: if the ids do not fit.
    """
    _check_ids(image_id, source_id, len(boxes), class_ids)
    image_format = b"png" if image_bytes.startswith(b"\x89PNG") else b"jpeg"
    features = {
        "image/encoded": _bytes_feature([image_bytes]),
        "image/filename": _bytes_feature([image_id.encode()]),
        "image/format": _bytes_feature([image_format]),
        "image/height": _int64_feature([height]),
        "image/object/area": _float_feature(
            [(box.xmax - box.xmin) * (box.ymax - box.ymin) for box in boxes]
        ),
        "image/object/bbox/xmax": _float_feature([box.xmax / width for box in boxes]),
        "image/object/bbox/xmin": _float_feature([box.xmin / width for box in boxes]),
        "image/object/bbox/ymax": _float_feature([box.ymax / height for box in boxes]),
        "image/object/bbox/ymin": _float_feature([box.ymin / height for box in boxes]),
        "image/object/class/label": _int64_feature(class_ids),
        "image/object/class/text": _bytes_feature([box.class_name.encode() for box in boxes]),
        "image/object/is_crowd": _int64_feature([0] * len(boxes)),
        "image/source_id": _bytes_feature([b"%d" % source_id]),
        "image/width": _int64_feature([width]),
    }
    return b"".join(_message(1, _map_entries(features)))


def frame(record: bytes) -> tuple[bytes, bytes, bytes]:
    """Return a record as TFRecord stores it: length and its check sum, data, its check sum."""
    length = struct.pack("<Q", len(record))
    return length + _masked_crc(length), record, _masked_crc(record)


def build_shard(records: Iterable[bytes]) -> bytes:
    """Return the content of a TFRecord file with these records."""
    return b"".join(part for record in records for part in frame(record))


def _check_ids(image_id: str, source_id: int, num_boxes: int, class_ids: Sequence[int]) -> None:
    if not 0 <= source_id < 2**24:
        raise ValueError(f"{image_id}: source_id must be in [0, 2**24), got {source_id}")
    if num_boxes != len(class_ids):
        raise ValueError(f"{image_id}: {num_boxes} boxes need as many ids, got {len(class_ids)}")
    if class_ids and min(class_ids) < 1:
        raise ValueError(f"{image_id}: class ids start at 1, got {min(class_ids)}")


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    rotated = (crc >> 15) | (crc << 17)
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)


def _map_entries(features: dict[str, _Parts]) -> _Parts:
    """Return a protobuf map: messages of key (field 1) and value (field 2), in order of key."""
    entries: _Parts = []
    for key in sorted(features):
        entries += _message(1, _message(1, [key.encode()]) + _message(2, features[key]))
    return entries


def _bytes_feature(values: Sequence[bytes]) -> _Parts:
    return _message(_BYTES_LIST, [part for value in values for part in _message(1, [value])])


def _float_feature(values: Sequence[float]) -> _Parts:
    return _packed_feature(_FLOAT_LIST, struct.pack(f"<{len(values)}f", *values))


def _int64_feature(values: Sequence[int]) -> _Parts:
    return _packed_feature(_INT64_LIST, b"".join(_varint(value) for value in values))


def _packed_feature(kind: int, packed: bytes) -> _Parts:
    return _message(kind, _message(1, [packed]) if packed else [])


def _message(field_number: int, parts: _Parts) -> _Parts:
    """Return a length-delimited field (wire type 2)."""
    length = sum(map(len, parts))
    return [_varint(field_number << 3 | 2) + _varint(length), *parts]


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
