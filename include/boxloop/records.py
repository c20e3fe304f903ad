"""The TFRecord shards of a dataset version: images go from the user's files to them unchanged."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from boxloop import storage
from boxloop.data.dataset import DOUBTFUL, Dataset
from boxloop.data.examples import build_shard, encode_example
from boxloop.data.formats.voc import Box

EXAMPLES_PER_SHARD = 1000


def write_shards(folder_uri: str, split: str, images: pd.DataFrame, dataset: Dataset) -> list[str]:
    """Write some images of a dataset, with their boxes, as TFRecord shards.

    Args:
        folder_uri: where the shards go.
        split: how their names begin.
        images: rows of `dataset.images`, their index kept.
        dataset: what the boxes and class ids come from.

    Returns:
        The shards' URIs; none where there is no image.
    """
    count = -(-len(images) // EXAMPLES_PER_SHARD)
    uris = [f"{folder_uri}/{split}-{i:05d}-of-{count:05d}.tfrecord" for i in range(count)]
    for index, uri in enumerate(uris):
        storage.write_bytes(uri, build_shard(_examples(images.iloc[index::count], dataset)))
    return uris


def _examples(images: pd.DataFrame, dataset: Dataset) -> Iterator[bytes]:
    class_ids = {name: index for index, name in enumerate(dataset.class_names, start=1)}
    class_ids[DOUBTFUL] = len(class_ids) + 1  # training masks it, see detector/train.py
    boxes = _boxes_by_image(dataset.boxes[dataset.boxes["image_id"].isin(images["image_id"])])
    contents = storage.read_ahead(images["uri"])
    columns = (images.index, images["image_id"], images["width"], images["height"])
    for index, image_id, width, height in zip(*columns, strict=True):
        of_image = boxes.get(image_id, [])
        yield encode_example(
            next(contents),
            image_id=image_id,
            source_id=index + 1,
            width=width,
            height=height,
            boxes=of_image,
            class_ids=[class_ids[box.class_name] for box in of_image],
        )


def _boxes_by_image(boxes: pd.DataFrame) -> dict[str, list[Box]]:
    found: dict[str, list[Box]] = {}
    columns = ["image_id", *Box._fields]
    is_doubtful = boxes["origin"] == DOUBTFUL
    boxes = boxes.assign(class_name=boxes["class_name"].mask(is_doubtful, DOUBTFUL))
    for image_id, *box in boxes[columns].itertuples(index=False):
        found.setdefault(image_id, []).append(Box(*box))
    return found
