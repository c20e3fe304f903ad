"""`boxloop detect MODEL IMAGE...`: what a model finds in anybody's images."""

from __future__ import annotations

import argparse
import glob
import io
import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from boxloop import prediction, storage
from boxloop.cli_help import told
from boxloop.setting_checks import check
from boxloop.settings import PredictConfig

if TYPE_CHECKING:
    from boxloop.inference.portable import Found, Spec

SIDE = 1024  # pixels of the pictures drawn, at the most
MIN_SCORE = 0.3  # where the bundle was never evaluated
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")


def add_commands(commands: Any) -> None:
    """Add the command to an argparse subparsers object."""
    detect = commands.add_parser(
        "detect",
        **told(
            "Detect in images with an exported model. Prints one line of JSON an image: the boxes "
            "in pixels of the upright image, or why it cannot be read. Exit code 1 if some could "
            "not be read.",
            "detect .boxloop/experiments/trial/round_02/model photos/",
            "detect my-detector photos/ 'more/*.png' --output drawn --min-score 0.5",
            "detect gs://bucket/detector one.jpg --engine tflite",
        ),
    )
    detect.add_argument("model", help="folder of the model: a round's model/, or gs://")
    detect.add_argument("images", nargs="+", metavar="IMAGE", help="file, folder, glob or gs://")
    detect.add_argument(
        "--min-score",
        type=float,
        help="score in [0, 1] (default: where F1 was best in validation, else 0.3)",
    )
    detect.add_argument(
        "--output", metavar="FOLDER", help="draw the boxes, into this folder (default: no)"
    )
    detect.add_argument(
        "--engine",
        default="auto",
        choices=["auto", "tflite", "tensorflow"],
        help="what computes; auto: TFLite on a CPU, TensorFlow on a GPU (default: auto)",
    )
    detect.add_argument(
        "--digest",
        help="of the model, as its model card has it; another is not loaded (default: any)",
    )
    detect.set_defaults(command=_detect)


def _detect(options: argparse.Namespace) -> int:
    from boxloop.bundle import default_threshold, why_none
    from boxloop.inference.stream import detect_all

    logging.getLogger().setLevel(logging.ERROR)  # stdout is for JSON
    named = dict(_named(options.images))
    if options.output is not None:
        _check_output(options.output, named)
    has_bundle = storage.exists(f"{options.model.rstrip('/')}/bundle.json")
    check(has_bundle, "" if has_bundle else why_none(options.model))
    config = PredictConfig(engine=options.engine)
    with storage.local_folder(options.model) as folder:
        engine, spec = prediction.open_bundle(folder, config, options.digest, where=options.model)
        min_score = options.min_score
        if min_score is None:
            min_score = default_threshold(folder) or MIN_SCORE
        check(0 <= min_score <= 1, f"--min-score must be in [0, 1], got {min_score}")
        results = detect_all(engine, spec, named.items(), upright=True)
        return _tell(results, named, spec, min_score, options.output)


def _named(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give the name of a drawing of its own, and the URI, of each image that is meant.

    Raises:
        ValueError: if there is none at a place.
    """
    taken: set[str] = set()
    for place in given:
        found = list(_expand(place))
        check(bool(found), f"{place}: no such image, nor a folder with any")
        for path, uri in found:
            name = str(PurePosixPath(re.sub(r"[:\\]", "_", path)).with_suffix(".jpg"))
            own, number = name, 1
            while own in taken:
                own, number = f"{number}-{name}", number + 1
            taken.add(own)
            yield own, uri


def _expand(place: str) -> Iterator[tuple[str, str]]:
    if storage.exists(place):
        yield place.rpartition("/")[2], place
        return
    if storage.is_remote(place) or Path(place).is_dir():
        base = place.rstrip("/")
        for uri in storage.list_files(base):
            if uri.lower().endswith(_SUFFIXES):
                yield uri.removeprefix(f"{base}/"), uri
        return
    for path in sorted(glob.glob(place, recursive=True)):  # noqa: PTH207 - not below a folder
        if Path(path).is_file():
            yield Path(path).name, path


def _check_output(output: str, named: dict[str, str]) -> None:
    """Make sure that no drawing takes the place of an image."""
    images = {_real(uri) for uri in named.values()}
    for name in named:
        path = storage.safe_join(output, name)
        check(_real(path) not in images, f"--output: {path} is an image itself, draw elsewhere")


def _real(uri: str) -> str:
    return uri if storage.is_remote(uri) else os.path.realpath(uri)


def _tell(
    results: Iterable[Any], uris: dict[str, str], spec: Spec, min_score: float, output: str | None
) -> int:
    from boxloop.inference.portable import to_records
    from boxloop.inference.stream import Unreadable

    failed = 0
    for result in results:
        line: dict[str, Any] = {"image": uris[result.image_id]}
        if isinstance(result, Unreadable):
            failed = 1
            line["error"] = result.reason
        else:
            found = result.found.above(min_score)
            line["detections"] = to_records(found, spec)
            if output is not None:
                try:
                    target = storage.safe_join(output, result.image_id)
                    storage.write_bytes(target, _draw(uris[result.image_id], found, spec))
                    line["picture"] = target
                except (OSError, ValueError) as error:
                    failed, line["error"] = 1, f"cannot be drawn: {error}"
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    return failed


def _draw(uri: str, found: Found, spec: Spec) -> bytes:
    from boxloop.data.images import to_rgb
    from boxloop.inference.portable import decode
    from boxloop.report.contact_sheet import LabelledBox, Picture, class_colour, draw_picture

    boxes = [
        LabelledBox(
            (box[0], box[1], box[2], box[3]),
            f"{spec.classes[class_id - 1]} {score:.2f}",
            class_colour(class_id),
            False,
        )
        for class_id, score, box in zip(
            found.class_ids.tolist(), found.scores.tolist(), found.boxes_xyxy.tolist(), strict=True
        )
    ]
    buffer = io.BytesIO()
    pixels = decode(to_rgb(storage.read_bytes(uri), upright=True))
    draw_picture(Picture(pixels, boxes), SIDE).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
