"""Tables as Parquet, which say what version of the schema they have, and upgrades of older ones.

A version is raised when a table of before would be read wrongly: columns were added that must be
filled, or a column means something else. A newer Boxloop reads every older version, by one small
function a step. An older one refuses what it cannot know.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

VERSION = 2
"""Of all tables. 1: without a version in the file. 2: every column of today."""
_KEY = b"boxloop_schema"

Upgrade = Callable[[pd.DataFrame], pd.DataFrame]


def to_parquet(table: pd.DataFrame) -> bytes:
    """Return a table as Parquet; the same table always gives the same bytes."""
    arrow = pa.Table.from_pandas(table.reset_index(drop=True), preserve_index=False)
    buffer = io.BytesIO()
    marked = arrow.replace_schema_metadata({**arrow.schema.metadata, _KEY: str(VERSION).encode()})
    pq.write_table(marked, buffer, compression="zstd")
    return buffer.getvalue()


def from_parquet(data: bytes) -> pd.DataFrame:
    """Return the table in Parquet bytes, as it was written.

    Raises:
        ValueError: if it is of a newer version than this Boxloop knows.
    """
    _version(data)
    return pd.read_parquet(io.BytesIO(data))


def read_as(data: bytes, kind: str, uri: str) -> pd.DataFrame:
    """Return a table of a dataset version as today's program has it.

    Args:
        data: Parquet bytes, of this version of the schema or an earlier one.
        kind: images, boxes or refused.
        uri: where it is, for messages.

    Raises:
        ValueError: if it is of a newer version than this Boxloop knows.
    """
    try:
        version = _version(data)
    except ValueError as error:
        raise ValueError(f"{uri}: {error}") from error
    table = pd.read_parquet(io.BytesIO(data))
    for upgrade in UPGRADES[kind][version - 1 :]:
        table = upgrade(table)
    return table


def fill_missing(table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return a table with columns that versions before them do not have: False, else null."""
    absent = {
        name: pd.Series(False if kind == "bool" else None, index=table.index, dtype=kind)
        for name, kind in columns.items()
        if name not in table
    }
    return table.assign(**absent)[list(columns)] if absent else table


def _version(data: bytes) -> int:
    metadata = pq.read_metadata(io.BytesIO(data)).metadata or {}
    version = int(metadata.get(_KEY, b"1"))
    if version > VERSION:
        raise ValueError(
            f"the table has schema {version}, this Boxloop knows those up to {VERSION}: "
            "it was written by a newer one; bring Boxloop up to date (git pull, make setup)"
        )
    return version


def _images_2(table: pd.DataFrame) -> pd.DataFrame:
    """Add `is_hidden`: no image was boxed and in the pool all the same."""
    return fill_missing(table, {**_kinds(table), "is_hidden": "bool"})


def _boxes_2(table: pd.DataFrame) -> pd.DataFrame:
    """Add `difficult`, and who judged a box, and why: nobody knows any more."""
    added = {"difficult": "bool", "author": "string", "mode": "string", "reason": "string"}
    return fill_missing(table, {**_kinds(table), **added})


def _same(table: pd.DataFrame) -> pd.DataFrame:
    return table


def _kinds(table: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(kind) for name, kind in table.dtypes.items()}


UPGRADES: Mapping[str, Sequence[Upgrade]] = {
    "images": (_images_2,),
    "boxes": (_boxes_2,),
    "refused": (_same,),
}
"""By table: from version 1 to 2, from 2 to 3, and so on."""
