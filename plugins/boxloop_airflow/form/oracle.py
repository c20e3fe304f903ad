"""Fields that say who judges detections, how strictly, and what people are asked."""

from __future__ import annotations

from boxloop.oracle_settings import BOTH, GATED, HUMAN, LABELS, NOBODY, STRATEGIES, STUDY
from boxloop_airflow.form.field import choice, number, whole

_STRATEGIES = (
    "what brings most for its seconds",
    "lowest score",
    "highest entropy",
    "two classes nearly alike",
    "images that differ",
    "by chance",
)

ORACLE = {
    "oracle": choice(
        "Who judges detections",
        "oracle.by",
        {
            LABELS: "image-level labels",
            BOTH: "labels, and people where they are not sure",
            HUMAN: "people",
            NOBODY: "nobody: a control run",
        },
        "Where people judge, each round waits for them on its Review page, and then goes on with "
        "what there is.",
    ),
    "oracle_mode": choice(
        "Rule for labels",
        "oracle.mode",
        {
            GATED: "gated: calibrated, and judged anew each round",
            STUDY: "study: class equals label, once and for ever",
        },
        "How a detection is held against its image's label.",
    ),
    "target_precision": number(
        "Target precision",
        "oracle.target_precision",
        0.01,
        0.999,
        "Share of adopted boxes that should be right, such as 0.95. A higher one adopts fewer.",
    ),
    "min_score": number(
        "Score threshold",
        "oracle.min_score",
        0,
        1,
        "Score in [0, 1] that a detection must reach in any case, such as 0.1. A higher one adopts "
        "fewer and cleaner boxes.",
    ),
    "several": choice(
        "Boxes an image",
        "oracle.several",
        {"all": "every detection that passes", "best": "the best one alone"},
        "What is adopted where several detections of an image pass.",
        {"all": True, "best": False},
    ),
    "class_cap": number(
        "Limit by class",
        "oracle.class_cap",
        0,
        1000,
        "Boxes of one class that a round may adopt, the best scores first, as a multiple of what "
        "the class has by then, such as 1. 0 is no limit.",
    ),
    "review_items": whole(
        "Review: images",
        "review.items",
        1,
        1_000_000,
        "Images a round that people are asked about at the most, such as 100: 2 to 7 seconds of "
        "somebody's time each.",
    ),
    "review_hours": number(
        "Review: hours",
        "review.hours",
        0.001,
        8784,
        "Hours that a round waits for people, such as 24. It holds no slot while it waits.",
    ),
    "review_strategy": choice(
        "Review: order",
        "review.strategy",
        dict(zip(STRATEGIES, _STRATEGIES, strict=True)),
        "Which images people are asked about first.",
    ),
}
