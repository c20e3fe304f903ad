"""All that reads strangers' bytes: valid files to spoil, and what may come of spoilt ones."""

import atexit
import contextlib
import io
import json
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import PngImagePlugin
from tests.bundles import make_bundle
from tests.data import pictures
from tests.data.folders import Data
from tests.detector.torch_files import torch_file
from tests.oracle.test_decisions import OTHER
from tests.reviews import CLASSES, answer, image_table, queue_table, sent

from boxloop import archive, borders, bundle, yaml_text
from boxloop.child import parse_progress
from boxloop.data.formats import coco, cvat, label_studio, tables, voc, yolo
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.detect import Format, detect_format, parse_class_names, parse_file
from boxloop.data.formats.label_map import build_label_map, parse_label_map
from boxloop.data.images import read_facts, to_rgb
from boxloop.data.survey import survey_folder
from boxloop.detector.torch_file import read_torch_tensors
from boxloop.experiment import CONFIGS, read_experiment
from boxloop.failure import StepError, failure_block, failure_line, parse_failure
from boxloop.inference.portable import SPEC, decode
from boxloop.oracle.answers import Questions, parse_answer
from boxloop.review_export import MANIFEST, read_manifest
from boxloop_airflow.pages.pictures import read_jpeg

BOXES = (Box("cat", 1.0, 2.0, 20.0, 21.5), Box("dög", 3.0, 4.0, 30.0, 29.0, True))
IMAGES = [
    Annotation("a.jpg", BOXES, 40, 30, image_label="cat"),
    Annotation("sub/b.png", (), 640, 480),
]
SHARES = [Annotation("a.jpg", (Box("cat", 0.1, 0.2, 0.5, 0.6),), 40, 30, is_relative=True)]
MOST_PIXELS = 2e6


class Target(NamedTuple):
    """A reader."""

    read: Callable[[bytes], object]
    seeds: Sequence[bytes]
    errors: tuple[type[Exception], ...] = (ValueError,)
    """What it says of files that it cannot read, and nothing else."""
    share: float = 1.0
    """Of the inputs that a fast reader gets."""


def folder() -> Path:
    """Return the folder that the targets with files of their own work in."""
    path = tempfile.mkdtemp(prefix="boxloop-fuzz-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)


def annotations(kind: Format, *seeds: bytes) -> Target:
    def read(data: bytes) -> object:
        detect_format("a.txt", data)
        try:
            return parse_file(kind, data, "a.b", ["cat", "dog"])
        except ValueError as error:
            if not str(error).startswith("a.b"):
                raise AssertionError("the message does not name the file") from error
            raise

    return Target(read, seeds)


def class_names(name: str, *seeds: bytes) -> Target:
    return Target(lambda data: parse_class_names(data, name), seeds)


def experiment_target() -> Target:
    path = folder() / "a.yaml"

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return read_experiment(str(path), {"data.uri": "photos"})

    seeds = [each.read_bytes() for each in sorted((CONFIGS / "experiments").glob("*.yaml"))]
    return Target(read, seeds, share=0.2)


def image_seeds() -> list[bytes]:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 300, zip=True)
    text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    return [
        *(pictures.picture(kind) for kind in pictures.FORMATS),
        pictures.picture("JPEG", exif=pictures.exif(6)),
        pictures.picture("WEBP", exif=pictures.exif(6), lossless=True),
        pictures.picture("PNG", pnginfo=text),
        pictures.picture("PNG", "P"),
        pictures.picture("JPEG", "CMYK"),
        pictures.picture("JPEG", progressive=True),
        pictures.picture("TIFF", "F"),
        pictures.picture("TIFF", compression="tiff_lzw"),
        pictures.picture("GIF", save_all=True, append_images=[pictures.scene(2)]),
        pictures.RGB16,
        pictures.GREY16,
        pictures.MPO,
    ]


def read_image(data: bytes) -> object:
    """Read as an import does: with a limit, and nothing more where that refuses."""
    read_facts(data, hash_pixels=False, max_pixels=MOST_PIXELS)
    read_facts(data, hash_pixels=True, max_pixels=MOST_PIXELS)
    return to_rgb(data, upright=True)


def decode_image(data: bytes) -> object:
    """Read as a prediction does, what an import has let through."""
    read_facts(data, hash_pixels=False, max_pixels=MOST_PIXELS)
    return decode(data)


def page_target() -> Target:
    path = folder() / "a.jpg"

    def read(data: bytes) -> object:
        read_facts(data, hash_pixels=False, max_pixels=MOST_PIXELS)
        path.write_bytes(data)
        read_jpeg.cache_clear()
        return read_jpeg(str(path), "digest", (3.0, 4.0, 20.0, 21.0), 64)

    return Target(read, image_seeds(), share=0.5)


def archives() -> list[bytes]:
    found = []
    files = {"ckpt-1.index": b"index", "p/ckpt-1.data-00000-of-00001": b"data" * 50, "w/a.pt": b"x"}
    for kind in ("w", "w:gz", "w:bz2", "w:xz"):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode=kind) as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        found.append(stream.getvalue())
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as file:
            for name, data in files.items():
                file.writestr(name, data)
        found.append(stream.getvalue())
    return found


def archive_target() -> Target:
    where = folder()
    path, out = where / "a", where / "out"
    out.mkdir()

    def read(data: bytes) -> object:
        path.write_bytes(data)
        archive.is_archive(path)
        with contextlib.suppress(ValueError):
            archive.extract_checkpoint(path, "ckpt-1", out)
        assert {each.parent for each in out.rglob("*")} <= {out}, "written outside of its folder"
        assert set(where.iterdir()) == {path, out}
        return archive.read_member(path, "a.pt")

    return Target(read, archives())


def bundle_target() -> Target:
    where = make_bundle(folder() / "bundle")
    good = (where / SPEC).read_bytes()
    digest = json.loads(good)["digest"]
    metrics = json.dumps({"operating": {"threshold": 0.4}, "bundle_digest": digest}).encode()

    def read(data: bytes) -> object:
        is_metrics = b'"operating"' in data[:40]
        (where / SPEC).write_bytes(good if is_metrics else data)
        (where / bundle.METRICS).write_bytes(data if is_metrics else metrics)
        bundle.default_threshold(where)
        found = bundle.read_bundle(where)
        assert found["digest"] == digest, "a description that was not written by an export"
        return found

    return Target(read, [good, metrics])


def manifest_target() -> Target:
    where = folder()
    images = {"00001_cat_a.jpg": "a.jpg"}
    good = {"round": 1, "format": "voc", "images": images, "queue": "0" * 64, "imported": {}}

    def read(data: bytes) -> object:
        (where / MANIFEST).write_bytes(data)
        return read_manifest(where)

    return Target(read, [json.dumps(good, indent=1).encode()])


def decision_target() -> Target:
    questions = Questions.of(queue_table(), image_table(str(folder())), CLASSES, 1)
    seeds = [answer(action="correct", boxes=[sent(OTHER)]), answer(action="skip")]
    return Target(lambda data: parse_answer(data, questions), seeds)


def folder_target(name: str, *seeds: bytes, share: float = 0.1) -> Target:
    """Return the reading of a whole folder in which one file is a stranger's."""
    data = Data(folder())
    config = data.config(near_duplicates=True)

    def read(spoilt: bytes) -> object:
        data.write(name, spoilt)
        survey = survey_folder(str(data.folder), config, [], max_pixels=MOST_PIXELS)
        assert len(survey.facts) >= 6, "one file has cost others"
        names = {box.class_name for boxes in survey.boxes.values() for box in boxes}
        labels = {label for label in survey.labels.values() if label}
        assert all(map(borders.is_class_name, names | labels))
        return survey

    return Target(read, seeds, (ValueError, FileNotFoundError), share)


def line_target() -> Target:
    good = failure_line(ValueError("a.xml: is no XML")).encode()

    def read(data: bytes) -> object:
        line = data.decode(errors="replace")
        progress, cause = parse_progress(line), parse_failure(line)
        error = StepError("train ended", cause, 1)
        block = failure_block(error, task="train", run_uri="/runs/a", round_number=1)
        said = [ValueError(line), RuntimeError(line)]
        blocks = [block, *(failure_block(each, task="train") for each in said)]
        assert all("\x1b" not in each and len(each) < 20_000 for each in blocks)
        return progress

    return Target(read, [good, b'@progress {"step": 40, "steps": 120}', b"train.steps must be 1"])


def csv_table(*rows: str) -> bytes:
    return "\n".join(rows).encode()


def targets() -> Mapping[str, Target]:
    """Return all readers by name; made anew each time, since some have folders."""
    one_xml = voc.build_voc("a.jpg", 40, 30, BOXES)
    names = ["cat", "dog"]
    classes = (yolo.build_data_yaml(names), yolo.build_classes_txt(names))
    coco_file = coco.build_coco(IMAGES)
    images = image_seeds()
    labels = csv_table("filename,image_label,split", 'train_0.jpg,ace,train,"x"', "pool_1.jpg,k,")
    groups = csv_table("path,group", "train_0.jpg,1", "train_1.jpg,1")
    tensors = {"a": np.arange(6, dtype="<f4").reshape(2, 3), "b": np.zeros(3, "<f4")}
    study = tables.build_study_csv(IMAGES)
    return {
        "voc": annotations(Format.VOC, one_xml),
        "cvat": annotations(Format.CVAT, cvat.build_cvat(IMAGES)),
        "coco": annotations(Format.COCO, coco_file),
        "label_studio": annotations(Format.LABEL_STUDIO, label_studio.build_label_studio(SHARES)),
        "study_csv": annotations(Format.STUDY_CSV, study),
        "kaggle_text": annotations(Format.KAGGLE_TEXT, tables.build_kaggle_text(IMAGES)),
        "yolo": annotations(Format.YOLO, yolo.build_yolo(SHARES[0].boxes, names)),
        "data_yaml": class_names("data.yaml", classes[0]),
        "classes_txt": class_names("classes.txt", classes[1]),
        "label_map": Target(
            lambda data: parse_label_map(data.decode(errors="replace")),
            [build_label_map(["cat", "d'og"]).encode(), b'item: { id: 1 name: "x" # y\n }'],
        ),
        "yaml": Target(lambda data: yaml_text.parse_yaml(data, "a"), [b"a: {b: [1, 2.5, yes]}\n"]),
        "experiment": experiment_target(),
        "image": Target(read_image, images),
        "decoder": Target(decode_image, [each for each in images if each[:2] != b"II"]),
        "page_picture": page_target(),
        "torch_file": Target(read_torch_tensors, [torch_file(tensors)]),
        "archive": archive_target(),
        "bundle": bundle_target(),
        "review_manifest": manifest_target(),
        "decision": decision_target(),
        "child_line": line_target(),
        "folder_xml": folder_target("annotations/train_0.xml", one_xml),
        "folder_json": folder_target("annotations/all.json", coco_file),
        "folder_image": folder_target("images/train_0.jpg", *images),
        "folder_labels": folder_target("image_labels.csv", labels, study),
        "folder_groups": folder_target("groups.csv", groups),
    }
