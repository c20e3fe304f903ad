"""The review queue: which images people are asked about, in which order, and what to do."""

from __future__ import annotations

QUEUE_COLUMNS = {
    "image_id": "string",
    "image_label": "string",  # null: not known
    "class_name": "string",  # of the proposed box; null, like all of it: nothing to show
    "score": "float64",
    "xmin": "float64",  # pixels, 0-based, max edge exclusive
    "ymin": "float64",
    "xmax": "float64",
    "ymax": "float64",
    "p_right": "float64",  # probability in [0, 1] that the proposed box is right
    "action": "string",  # verify or draw
    "reason": "string",  # why it is asked, in words
    "value": "float64",  # expected gain a second
    "seconds": "float64",  # that the answer is expected to take
}
