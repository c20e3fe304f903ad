"""Rows of a large table found by image, again and again, without looking through all of it."""

from __future__ import annotations

import numpy as np
import pandas as pd


class RowsByImage:
    """A table with the column image_id; what it is asked for costs what is found, not its size."""

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table
        codes, names = pd.factorize(table["image_id"].to_numpy(object))
        self._names = pd.Index(names, dtype=object)
        self._order = np.argsort(codes, kind="stable")
        self._bounds = np.searchsorted(codes[self._order], np.arange(len(names) + 1))

    def of(self, image_ids: pd.Series) -> pd.DataFrame:
        """Return the rows of some images, each named once, in the table's order."""
        found = self._names.get_indexer(pd.Index(image_ids.to_numpy(object), dtype=object))
        rows = [
            self._order[self._bounds[code] : self._bounds[code + 1]] for code in found[found >= 0]
        ]
        return self._table.iloc[np.sort(np.concatenate(rows))] if rows else self._table.iloc[:0]
