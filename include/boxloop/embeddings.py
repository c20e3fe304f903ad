"""What a detector's backbone makes of each image: a vector, by which images can be compared."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from boxloop import storage

Vector = np.ndarray[Any, Any]


def to_parquet(vectors: Mapping[str, Vector]) -> bytes:
    """Return the vectors of images as Parquet: `image_id` and `embedding`, in float16.

    The three digits that float16 keeps are plenty to compare images by.
    """
    flat = [vector.astype(np.float16) for vector in vectors.values()]
    lists = pa.array(flat, pa.list_(pa.float16()))
    table = pa.table({"image_id": pa.array(list(vectors), pa.string()), "embedding": lists})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def read_embeddings(uris: Sequence[str]) -> pd.DataFrame:
    """Return the embeddings that `predict` wrote.

    Args:
        uris: `embeddings_uris` of its value; of the shards of one round, for vectors of two models
            cannot be compared.

    Returns:
        Columns `image_id` and `embedding`, a float32 vector of shape (D,), in the order of the
        files. Images that could not be read have no row.
    """
    tables = [pq.read_table(io.BytesIO(storage.read_bytes(uri))) for uri in uris]
    ids = [image_id for table in tables for image_id in table["image_id"].to_pylist()]
    vectors = [vector for table in tables for vector in _rows(table["embedding"])]
    return pd.DataFrame(
        {"image_id": pd.Series(ids, dtype="string"), "embedding": pd.Series(vectors, dtype=object)}
    )


def _rows(column: pa.ChunkedArray) -> Vector:
    """Return lists of one length as an array, shape (N, D), float32."""
    values = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values.astype(np.float32).reshape(len(column), -1) if len(column) else np.zeros((0, 0))
