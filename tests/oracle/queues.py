"""Small adoptions, and the queue that is built of them."""

from typing import Any

import pandas as pd

from boxloop.data.dataset import BOX_COLUMNS, DETECTION_COLUMNS, IMAGE_COLUMNS, XYXY, build_table
from boxloop.oracle.adoptions import ADOPTION_COLUMNS
from boxloop.oracle.queue import build_queue
from boxloop.oracle_settings import ReviewConfig

XYXY_A, XYXY_B = (0.0, 0.0, 10.0, 10.0), (20.0, 20.0, 30.0, 30.0)

Row = dict[str, Any]


def row(image_id: str, p_right: float | None, **fields: Any) -> Row:
    """An image's rejected detection of its own class, or nothing detected."""
    found: Row = {"image_id": image_id, "image_label": "ace", "verdict": "rejected"}
    if p_right is not None:
        box = dict(zip(XYXY, XYXY_A, strict=True))
        found |= {"class_name": "ace", "score": p_right, "p_right": p_right, **box}
    return found | fields


def nothing(image_id: str, **fields: Any) -> Row:
    return row(image_id, None, **fields)


def adopted(image_id: str, p_right: float, **fields: Any) -> Row:
    return row(image_id, p_right, verdict="adopted", is_adopted=True, **fields)


def table(*rows: Row) -> pd.DataFrame:
    return build_table(list(rows), ADOPTION_COLUMNS)


def boxes(origin: str = "human", **counts: int) -> pd.DataFrame:
    rows: list[dict[str, object]] = [
        {"image_id": f"{name}{i}", "class_name": name, "origin": origin, "round": 0}
        for name, count in counts.items()
        for i in range(count)
    ]
    return build_table(rows, BOX_COLUMNS)


def queue(
    *rows: Row,
    groups: dict[str, str] | None = None,
    detections: list[dict[str, object]] | None = None,
    in_set: pd.DataFrame | None = None,
    images: pd.DataFrame | None = None,
    seed: int = 1,
    strategy: str = "value",
    items: int = 100,
    **options: Any,
) -> pd.DataFrame:
    adoptions = table(*rows)
    if images is None:
        ids = adoptions["image_id"].unique()
        its_group = groups or {}
        images = build_table(
            [
                {"image_id": name, "split": "pool", "group": its_group.get(name, name)}
                | {"width": 40, "height": 40}
                for name in ids
            ],
            IMAGE_COLUMNS,
        )
    return build_queue(
        adoptions,
        build_table(detections or [], DETECTION_COLUMNS),
        images,
        boxes() if in_set is None else in_set,
        config=ReviewConfig(strategy=strategy, items=items),
        seed=seed,
        **options,
    )


def ids(found: pd.DataFrame) -> list[str]:
    return [str(image_id) for image_id in found["image_id"]]


def asked(*rows: Row, **options: Any) -> list[str]:
    return ids(queue(*rows, **options))


def found_in(scores: dict[str, list[float]], class_name: str = "ace") -> list[dict[str, object]]:
    return [
        {"image_id": image_id, "class_name": class_name, "score": score}
        for image_id, own in scores.items()
        for score in own
    ]


def embeddings(*image_ids: str, **vectors: list[float]) -> pd.DataFrame:
    """Vectors as one column of lists, those without one by their letter."""
    own = {image_id: [float(ord(image_id[0])), 0.0] for image_id in image_ids} | vectors
    return pd.DataFrame({"image_id": [*own], "embedding": [*own.values()]})
