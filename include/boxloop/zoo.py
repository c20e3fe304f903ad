"""The names of the zoo: its entries, and what the 2018 study's models are nearest to."""

from __future__ import annotations

import difflib
import logging
import re
from pathlib import Path

log = logging.getLogger(__name__)

MODELS = Path(__file__).resolve().parents[2] / "configs" / "models"

STUDY = {
    "ssd_mobilenet_v1_coco": "retinanet_mobilenetv2",
    "ssd_mobilenet_v2_coco": "retinanet_mobilenetv2",
    "ssdlite_mobilenet_v2_coco": "retinanet_mobilenetv2",
    "ssd_inception_v2_coco": "retinanet_lite0",
    "faster_rcnn_inception_v2_coco": "faster_rcnn_lite0",
    "faster_rcnn_resnet50_coco": "faster_rcnn_resnet50",
    "faster_rcnn_resnet50_lowproposals_coco": "faster_rcnn_resnet50",
    "rfcn_resnet101_coco": "faster_rcnn_resnet101",
    "faster_rcnn_resnet101_coco": "faster_rcnn_resnet101",
    "faster_rcnn_resnet101_lowproposals_coco": "faster_rcnn_resnet101",
    "faster_rcnn_inception_resnet_v2_atrous_coco": "cascade_rcnn_spinenet49",
    "faster_rcnn_inception_resnet_v2_atrous_lowproposals_coco": "cascade_rcnn_spinenet49",
    "faster_rcnn_nas": "cascade_rcnn_spinenet49",
    "faster_rcnn_nas_coco": "cascade_rcnn_spinenet49",
    "faster_rcnn_nas_lowproposals_coco": "cascade_rcnn_spinenet49",
}
"""Names of TensorFlow's detection zoo of 2018, and the entry here that is used for each."""

_DATE = re.compile(r"(_\d+){3}$")  # ssd_mobilenet_v1_coco_2018_01_28, as the files were called


def model_names() -> list[str]:
    """Return the names of the zoo's entries."""
    return sorted(path.stem for path in MODELS.glob("*.yaml"))


def find_model(name: str) -> str:
    """Return the name of the entry that is meant, having logged it where it is another.

    Args:
        name: of an entry, or of a model of TensorFlow's detection zoo of 2018.

    Raises:
        ValueError: if neither knows it, or it predicts masks; the nearest is named.
    """
    if name in model_names():
        return name
    nearest = STUDY.get(_undated(name))
    if nearest is None:
        raise ValueError(_unknown(name))
    log.warning("Model %s is of the 2018 study: using %s, the nearest here", name, nearest)
    return nearest


def _unknown(name: str) -> str:
    if name.startswith("mask_rcnn"):
        unmasked = _undated(name).replace("mask", "faster", 1)
        nearest = STUDY[difflib.get_close_matches(unmasked, STUDY, n=1, cutoff=0.0)[0]]
        return f"model {name!r} predicts masks, here are boxes only; the nearest is {nearest}"
    names = model_names()
    if close := difflib.get_close_matches(name, [*names, *STUDY]):
        return f"model {name!r} is not in the zoo; did you mean {' or '.join(close)}?"
    return f"model {name!r} is not in the zoo; it has {', '.join(names)}"


def _undated(name: str) -> str:
    return _DATE.sub("", name)
