"""The TFRecord shards of a dataset version, written for what is new or changed only.

A manifest says which example is in which shard, and from what it was made. A shard whose examples
are all wanted as they are is listed again and stays where it is; the other examples go into new
shards. The manifest is written last, and readers trust manifests only.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import pandas as pd

from boxloop import moved, storage
from boxloop.data.dataset import (
    DOUBTFUL,
    XYXY,
    Dataset,
    build_table,
    from_parquet,
    is_in,
    to_parquet,
)
from boxloop.data.examples import build_shard, encode_example
from boxloop.data.formats.annotation import Box
from boxloop.data.images import to_rgb

log = logging.getLogger(__name__)

MANIFEST_COLUMNS = {
    "split": "string",
    "shard": "string",  # its URI
    "image_id": "string",
    "source_id": "int32",  # from 1, no other example of the split has it
    "digest": "string",  # of all that the example is made from
}

# A changed example costs its whole shard: 256 small pictures are 6 MB, a tenth of a second. Sets
# of more than 128,000 get larger shards instead of ever more, since opening one costs a request.
# A shard is put together in memory, so pictures from a camera (12 million pixels) go 10 by 10.
EXAMPLES_PER_SHARD = 256
SHARDS_AT_MOST = 500
PIXELS_PER_SHARD = 128_000_000

_JPEG_OR_PNG = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_ENCODING = 1  # to be raised when other bytes are made of the same values


class _Content(NamedTuple):
    """What an example is made from, but for its source id; the image by its digest."""

    image_id: str
    sha256: str
    width: int
    height: int
    boxes: list[Box]
    class_ids: list[int]
    origins: list[str]
    scores: list[float]
    weights: list[float]


def write_records(folder_uri: str, dataset: Dataset, previous: pd.DataFrame | None) -> pd.DataFrame:
    """Write the examples to train, validate and test on, and the manifest of all of them.

    Args:
        folder_uri: where shards and manifest go.
        dataset: whose images with boxes are trained on.
        previous: the manifest of an earlier version, in another folder; None: there is none.

    Returns:
        The manifest, with MANIFEST_COLUMNS.

    Raises:
        ValueError: if `previous` lists shards of this very folder, which would be overwritten.
    """
    manifest = build_table([], MANIFEST_COLUMNS) if previous is None else previous
    images = {
        "train": dataset.training_images,
        "validation": dataset.split("validation"),
        "test": dataset.split("test"),
    }
    tables = [write_shards(folder_uri, split, images[split], dataset, manifest) for split in images]
    manifest = pd.concat(tables, ignore_index=True)
    storage.write_bytes(_manifest_uri(folder_uri), to_parquet(manifest))
    return manifest


def read_manifest(folder_uri: str) -> pd.DataFrame:
    """Return the manifest that `write_records` left in a folder.

    Raises:
        FileNotFoundError: if there is none.
    """
    manifest = from_parquet(storage.read_bytes(_manifest_uri(folder_uri)))
    now = {uri: moved.here(uri, folder_uri) for uri in manifest["shard"].unique()}
    return manifest.assign(shard=manifest["shard"].map(now).astype("string"))


def shard_uris(manifest: pd.DataFrame, split: str) -> list[str]:
    """Return the shards of a split, the oldest first."""
    return list(manifest.loc[manifest["split"] == split, "shard"].unique())


def write_shards(
    folder_uri: str, split: str, images: pd.DataFrame, dataset: Dataset, previous: pd.DataFrame
) -> pd.DataFrame:
    """Write the examples of a split that no shard has yet, and list those of all its images.

    A shard with an example that changed or went away is not listed any more; what else is in it
    is written anew.

    Args:
        folder_uri: where the shards go.
        split: how their names begin.
        images: rows of `dataset.images`.
        dataset: what the boxes and class ids come from.
        previous: the manifest to build on, of any splits.

    Returns:
        The split's manifest, with MANIFEST_COLUMNS.

    Raises:
        ValueError: if `previous` lists shards of this very folder, which would be overwritten.
    """
    previous = previous[previous["split"] == split]
    if previous["shard"].str.startswith(f"{folder_uri}/").any():
        raise ValueError(f"{folder_uri}: earlier shards are here, choose another folder")
    digests = [_digest(content) for content in _contents(images, dataset)]
    wanted = images.assign(split=split, digest=digests)
    kept = _reusable(previous, wanted)
    missing = wanted[~is_in(wanted["image_id"], kept["image_id"])]
    missing = _present(missing, images["split"] == "pool")
    missing = _with_shards(_with_source_ids(missing, previous), f"{folder_uri}/{split}")
    examples = _examples(missing, dataset)
    for uri, count in missing["shard"].value_counts(sort=False).items():
        storage.write_bytes(str(uri), build_shard(islice(examples, count)))
    columns = list(MANIFEST_COLUMNS)
    return pd.concat([kept, missing[columns]], ignore_index=True).astype(MANIFEST_COLUMNS)


def _present(missing: pd.DataFrame, from_pool: pd.Series) -> pd.DataFrame:
    """Leave out images of the pool that are gone since they were adopted; their boxes stay."""
    uris = list(missing.loc[from_pool[missing.index], "uri"])
    threads = storage.readers(uris[0]) if uris else 1
    there = storage.map_files(storage.exists, uris, threads=threads)
    lost = [uri for uri, is_there in zip(uris, there, strict=True) if not is_there]
    for uri in lost:
        log.warning("%s is gone: not trained on", uri)
    return missing[~missing["uri"].isin(lost)]


def _manifest_uri(folder_uri: str) -> str:
    return f"{folder_uri}/manifest.parquet"


def _reusable(previous: pd.DataFrame, wanted: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of those shards that hold nothing but what is wanted."""
    digests = previous["image_id"].map(wanted.set_index("image_id")["digest"])
    is_wanted = (digests == previous["digest"]).fillna(False).astype(bool)
    return previous[is_wanted.groupby(previous["shard"]).transform("all")]


def _with_source_ids(missing: pd.DataFrame, previous: pd.DataFrame) -> pd.DataFrame:
    """Keep the number that an image had, and count on for those without."""
    known = missing["image_id"].map(previous.set_index("image_id")["source_id"]).astype("Int32")
    last = previous["source_id"].max() if len(previous) else 0
    return missing.assign(source_id=known.fillna(last + known.isna().cumsum()))


def _with_shards(missing: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """Name the shard of every image, and put them in the order of writing."""
    count = -(-len(missing) // _shard_size(missing))
    # every count-th image goes into the same one, so that each has some of every folder
    number = pd.Series(np.arange(len(missing)) % max(1, count), index=missing.index)
    names = {i: f"{prefix}-{i:05d}-of-{count:05d}.tfrecord" for i in range(count)}
    return missing.loc[number.sort_values(kind="stable").index].assign(shard=number.map(names))


def _shard_size(images: pd.DataFrame) -> int:
    """Return how many examples go into a shard; see the constants."""
    size = max(EXAMPLES_PER_SHARD, -(-len(images) // SHARDS_AT_MOST))
    pixels = images["width"].astype("int64") * images["height"]
    return max(1, min(size, int(PIXELS_PER_SHARD / max(1, pixels.sum()) * len(images))))


def _examples(images: pd.DataFrame, dataset: Dataset) -> Iterator[bytes]:
    data = storage.read_ahead(images["uri"])
    of_images = (_contents(images, dataset), images["uri"], images["source_id"])
    for content, uri, source_id in zip(*of_images, strict=True):
        values = content._asdict()
        whole = next(data)
        if hashlib.sha256(whole).hexdigest() != values.pop("sha256"):
            raise ValueError(f"{uri}: has changed since its boxes were read; begin a new run")
        yield encode_example(_readable(whole, uri), source_id=source_id, **values)


def _readable(data: bytes, uri: str) -> bytes:
    """Return JPEG and PNG as they are, and anything else converted."""
    if data.startswith(_JPEG_OR_PNG):
        return data
    try:
        return to_rgb(data)
    except ValueError as error:
        raise ValueError(f"{uri}: {error}") from error


def _contents(images: pd.DataFrame, dataset: Dataset) -> Iterator[_Content]:
    """Give what the example of each image is made from, in order."""
    place = pd.Index(images["image_id"]).get_indexer(dataset.boxes["image_id"])
    order = np.argsort(place, kind="stable")[np.count_nonzero(place < 0) :]
    columns = ["class_name", "origin", *XYXY, "score", "weight"]
    boxes = dataset.boxes[columns].take(order)
    known = dataset.class_names
    ids = boxes["class_name"].map({name: index for index, name in enumerate(known, start=1)})
    # what the doubtful teach: see detector/targets.py
    class_ids = ids.mask(boxes["origin"] == DOUBTFUL, len(known) + 1).to_numpy("int64")
    xyxy = boxes[XYXY].to_numpy()
    scores, weights = boxes["score"].fillna(1.0).to_numpy(), boxes["weight"].to_numpy()
    # numbers for names, and no string for every row: memory must not grow with the data
    name_codes, names = pd.factorize(boxes["class_name"])
    origin_codes, origins = pd.factorize(boxes["origin"])
    class_names, origin_names = names.tolist(), origins.tolist()
    bounds = np.searchsorted(place[order], np.arange(len(images) + 1)).tolist()
    of_images = [images[name] for name in ("image_id", "sha256", "width", "height")]
    for of_image, start, end in zip(zip(*of_images, strict=True), bounds, bounds[1:], strict=False):
        image_id, sha256, width, height = of_image
        own = slice(start, end)
        found = [class_names[code] for code in name_codes[own].tolist()]
        yield _Content(
            image_id,
            sha256,
            width,
            height,
            boxes=[Box(name, *box) for name, box in zip(found, xyxy[own].tolist(), strict=True)],
            class_ids=class_ids[own].tolist(),
            origins=[origin_names[code] for code in origin_codes[own].tolist()],
            scores=scores[own].tolist(),
            weights=weights[own].tolist(),
        )


def _digest(content: _Content) -> str:
    return hashlib.blake2b(repr((_ENCODING, *content)).encode(), digest_size=16).hexdigest()
