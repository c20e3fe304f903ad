"""What each file of a run is, by its name. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

SETTINGS = "settings"
DATA_SETS = "data sets"
MARKERS = "markers"
SUMMARIES = "summaries"
RECORDS = "records"
CHECKPOINTS = "checkpoints"
WEIGHTS = "weights"
BUNDLES = "bundles"
DETECTIONS = "detections"
EVALUATIONS = "evaluations"
ADOPTIONS = "adoptions"
REVIEWS = "reviews"
EVENTS = "events"
TIMINGS = "timings"
REPORT = "report"
PROMOTION = "promotion"
ROLLED_BACK = "rolled-back rounds"
LEASES = "leases"
NOTES = "notes"
IMAGES = "images"
OTHERS = "others"

_NAMES = (
    (SETTINGS, r"experiment\.yaml"),
    (DATA_SETS, r"dataset/((round_\d+|final)/(images|boxes|refused)\.parquet|[^/]+)"),
    (REPORT, r"report/.+"),
    (PROMOTION, r"promotion/.+"),
    (ROLLED_BACK, r"rolled_back/.+"),
    (NOTES, r"gc\.json|moved\.json|digests/[^/]+\.json"),
)
_NAMES_OF_A_ROUND = (
    (RECORDS, r"records/.+"),
    (CHECKPOINTS, r"checkpoints/.+"),
    (WEIGHTS, r"weights/.+"),
    (BUNDLES, r"model/.+"),
    (DETECTIONS, r"detections/.+"),
    (EVALUATIONS, r"evaluation\.json|evaluation/.+"),
    (ADOPTIONS, r"(adoptions|proposed_boxes)\.parquet|calibration\.json"),
    (REVIEWS, r"review/.+"),
    (EVENTS, r"events/.+"),
    (TIMINGS, r"timings/.+"),
    (MARKERS, r"done/.+\.json"),
    (SUMMARIES, r"summary\.json"),
    (LEASES, r"(train|export)\.(lease|heartbeat)"),
    (NOTES, r"gc\.json|digests/[^/]+\.json"),
)
_ROUND = re.compile(r"round_(\d+)/(.+)", re.DOTALL)

ORDER = tuple(dict.fromkeys([kind for kind, _ in (*_NAMES, *_NAMES_OF_A_ROUND)] + [IMAGES, OTHERS]))
"""Of the kinds, in a table."""


class Content(NamedTuple):
    """What a file is."""

    kind: str
    round_number: int
    """From 1; 0: of the run as a whole."""


def content_of(name: str) -> Content:
    """Return what a file is.

    Args:
        name: its path below the run's folder.
    """
    found = _ROUND.fullmatch(name)
    kinds, rest = (_NAMES_OF_A_ROUND, found[2]) if found else (_NAMES, name)
    kind = next((kind for kind, pattern in kinds if re.fullmatch(pattern, rest)), OTHERS)
    return Content(kind, int(found[1]) if found else 0)


def name_below(uri: str) -> str:
    """Return the name of a round's file below its run, wherever that lay when it was written."""
    return "round_" + uri.rpartition("/round_")[2]
