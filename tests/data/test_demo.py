import csv
from collections import Counter
from pathlib import Path

import pytest
from lxml import etree

from boxloop.data.demo import class_sizes, draw_demo
from boxloop.data.demo_scene import CLASSES, SIDE

SIZES = {"boxed": 16, "pool": 12, "validation": 8, "test": 8}
SPLITS = {"train": "boxed", "pool": "pool", "validation": "validation", "test": "test"}
Scene = dict[str, tuple[int, int, int, int]]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    draw_demo(folder, seed=3, **SIZES)
    return folder


def test_same_seed_gives_the_same_bytes(demo: Path, tmp_path: Path) -> None:
    draw_demo(tmp_path, seed=3, **SIZES)
    assert _contents(tmp_path) == _contents(demo)


def test_another_seed_gives_other_images_and_removes_the_old(demo: Path, tmp_path: Path) -> None:
    draw_demo(tmp_path, seed=3, boxed=4, pool=0, validation=0, test=0)
    draw_demo(tmp_path, seed=4, boxed=2, pool=0, validation=0, test=0)
    images = sorted((tmp_path / "images").iterdir())
    assert [path.name for path in images] == ["scene_00000.jpg", "scene_00001.jpg"]
    assert images[0].read_bytes() != (demo / "images" / images[0].name).read_bytes()
    assert len(list((tmp_path / "annotations").iterdir())) == 2


def test_a_second_call_draws_nothing(tmp_path: Path) -> None:
    draw_demo(tmp_path, seed=3, boxed=1, pool=0, validation=0, test=0)
    (tmp_path / "images" / "scene_00000.jpg").unlink()
    draw_demo(tmp_path, seed=3, boxed=1, pool=0, validation=0, test=0)
    assert not (tmp_path / "images" / "scene_00000.jpg").exists()


def test_class_sizes_fall_from_six_to_one() -> None:
    # 6 ** -(i / 7) for i = 0 .. 7 adds up to 3.8477: the largest class has 600 / 3.8477 = 155.9
    sizes = list(class_sizes(600).values())
    assert sum(sizes) == 600
    assert (sizes[0], sizes[-1]) == (156, 26)
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("num_images", [0, 1, 15, 16, 17, 40, 80, 1001])
def test_class_sizes_add_up_and_leave_two_for_each_class_if_possible(num_images: int) -> None:
    sizes = class_sizes(num_images)
    assert tuple(sizes) == CLASSES
    assert sum(sizes.values()) == num_images
    assert min(sizes.values()) >= (2 if num_images >= 16 else 0)


def test_class_sizes_refuse_a_negative_number() -> None:
    with pytest.raises(ValueError, match="-1 images"):
        class_sizes(-1)


def test_every_split_has_the_class_sizes_of_its_number(demo: Path) -> None:
    counts = Counter((row["split"], row["image_label"]) for row in _labels(demo))
    for split, size in SPLITS.items():
        assert {name: counts[split, name] for name in CLASSES} == class_sizes(SIZES[size])


def test_boxes_lie_inside_the_image_and_include_the_label(demo: Path) -> None:
    for row in _labels(demo):
        boxes = _boxes(demo, row)
        assert row["image_label"] in boxes
        for xmin, ymin, xmax, ymax in boxes.values():
            assert 1 <= xmin <= xmax - 5
            assert 1 <= ymin <= ymax - 5
            assert max(xmax, ymax) <= SIDE


def test_boxes_of_the_pool_are_kept_apart(demo: Path) -> None:
    pool = {Path(row["filename"]).stem for row in _labels(demo) if row["split"] == "pool"}
    assert {path.stem for path in (demo / "truth").iterdir()} == pool
    assert not pool & {path.stem for path in (demo / "annotations").iterdir()}


def _contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _labels(folder: Path) -> list[dict[str, str]]:
    with (folder / "image_labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _boxes(folder: Path, row: dict[str, str]) -> Scene:
    """Return xmin, ymin, xmax, ymax by class; a scene shows a class at most once."""
    kind = "truth" if row["split"] == "pool" else "annotations"
    tree = etree.parse(folder / kind / f"{Path(row['filename']).stem}.xml")
    return {
        item.findtext("name", ""): (
            int(item.findtext("bndbox/xmin", "")),
            int(item.findtext("bndbox/ymin", "")),
            int(item.findtext("bndbox/xmax", "")),
            int(item.findtext("bndbox/ymax", "")),
        )
        for item in tree.iter("object")
    }
