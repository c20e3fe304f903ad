"""Classes kept in balance: how many boxes of one a round may adopt."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from boxloop.data.dataset import ADOPTED
from boxloop.oracle.adoptions import reject
from boxloop.oracle.gates import OVER_CAP


def cap_classes(judged: pd.DataFrame, counts: Mapping[str, int], cap: float) -> pd.DataFrame:
    """Reject what a round would adopt of a class beyond its share, the best scores staying.

    Args:
        judged: as `judge` returns it, of all images.
        counts: class to the boxes that it has before the round.
        cap: boxes that a round may adopt, as a multiple of those; 0: no limit.

    Returns:
        The same table; an image that keeps no box has its best row rejected.
    """
    if cap == 0:
        return judged
    new = judged[judged["verdict"] == ADOPTED].sort_values("score", ascending=False, kind="stable")
    limits = {name: math.ceil(cap * count) for name, count in counts.items()}
    limit = new["class_name"].map(limits).astype(float).fillna(0)  # text where there is no row
    is_over = new.groupby("class_name").cumcount() >= limit
    return reject(judged, is_over.index[is_over], OVER_CAP)
