"""Layouts of folders as people have them; a file of each format reaches the right images."""

from pathlib import Path

import pytest
from tests.data.folders import BOX, HEIGHT, WIDTH, picture

from boxloop.data.findings import Finding
from boxloop.data.formats.annotation import Annotation, Box
from boxloop.data.formats.coco import build_coco
from boxloop.data.formats.tables import build_kaggle_text, build_study_csv
from boxloop.data.formats.voc import build_voc
from boxloop.data.survey import Survey, survey_folder
from boxloop.settings import DataConfig

KING = BOX._replace(class_name="king")
YOLO = b"0 0.5 0.5 0.25 0.5\n"  # of 40 x 30 pixels
IN_PIXELS = (15.0, 7.5, 25.0, 22.5)


class Files:
    """A folder that a test fills file by file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def images(self, *names: str) -> None:
        for name in names:
            self.count += 1
            self.write(name, picture(self.count))

    def voc(self, path: str, name: str, *boxes: Box) -> None:
        self.write(path, build_voc(name, WIDTH, HEIGHT, boxes))

    def survey(self) -> Survey:
        return survey_folder(str(self.folder), DataConfig(uri=str(self.folder)), [])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "data")


def classes(survey: Survey) -> dict[str, list[str]]:
    return {name: [box.class_name for box in boxes] for name, boxes in survey.boxes.items()}


def of_kind(survey: Survey, kind: str) -> list[Finding]:
    return [finding for finding in survey.findings if finding.kind == kind]


def test_boxes_may_lie_beside_the_images(files: Files) -> None:
    files.images("images/a.jpg", "images/sub/b.jpg")
    files.voc("images/a.xml", "a.jpg", BOX)
    files.voc("images/sub/b.xml", "b.jpg", KING)
    survey = files.survey()
    assert classes(survey) == {"a.jpg": ["ace"], "sub/b.jpg": ["king"]}
    assert {finding.kind for finding in survey.findings} <= {"label_without_box"}


def test_a_folder_of_pascal_voc_needs_no_change(files: Files) -> None:
    files.images("JPEGImages/0.jpg", "JPEGImages/1.jpg")
    files.voc("Annotations/0.xml", "0.jpg", BOX)
    survey = files.survey()
    assert classes(survey) == {"JPEGImages/0.jpg": ["ace"]}
    assert survey.labels == {"JPEGImages/0.jpg": None, "JPEGImages/1.jpg": None}


def test_folders_of_annotations_may_be_written_in_capitals(files: Files) -> None:
    files.images("images/0.jpg")
    files.voc("Annotations/0.xml", "0.jpg", BOX)
    assert classes(files.survey()) == {"0.jpg": ["ace"]}


@pytest.mark.parametrize(
    ("image", "label"),
    [
        pytest.param("images/train/0.jpg", "labels/train/0.txt", id="Ultralytics"),
        pytest.param("train/images/0.jpg", "train/labels/0.txt", id="Roboflow"),
    ],
)
def test_yolo_files_find_their_images_and_folders_tell_the_split(
    files: Files, image: str, label: str
) -> None:
    files.write("data.yaml", b"names: [ace, king]\n")
    for split in ("train", "val", "test"):
        files.images(image.replace("train", split))
        files.write(label.replace("train", split), YOLO)
    survey = files.survey()
    assert sorted(survey.folder.splits.values()) == ["test", "train", "validation"]
    assert set(survey.labels.values()) == {None}
    assert [box for boxes in survey.boxes.values() for box in boxes] == [Box("ace", *IN_PIXELS)] * 3


def test_yolo_files_take_the_class_names_nearest_to_them(files: Files) -> None:
    files.images("images/a/0.jpg", "images/b/1.jpg")
    files.write("labels/a/classes.txt", b"ace\nking\n")
    files.write("labels/b/classes.txt", b"king\nace\n")
    files.write("labels/a/0.txt", YOLO)
    files.write("labels/b/1.txt", YOLO)
    assert classes(files.survey()) == {"a/0.jpg": ["ace"], "b/1.jpg": ["king"]}


@pytest.mark.parametrize(
    "other", ["annotations/a.json", "annotations/0/a.xml", "annotations/a.txt"]
)
def test_a_file_with_boxes_beats_one_that_cannot_be_read(files: Files, other: str) -> None:
    files.images("images/a.jpg")
    files.write(other, b"<annotation>" if other.endswith("xml") else b'{"shapes": []}')
    files.voc("annotations/b/a.xml", "a.jpg", BOX)
    survey = files.survey()
    assert classes(survey) == {"a.jpg": ["ace"]}
    assert [finding.path for finding in survey.findings if finding.kind != "label_without_box"] == [
        other
    ]


@pytest.mark.parametrize(
    ("other", "content"),
    [
        ("annotations/a.xml", b"<annotation>"),
        ("annotations/a.xml", b"<annotation/>"),
        ("images/a.txt", b""),
    ],
)
def test_a_table_with_boxes_beats_a_useless_file_called_like_the_image(
    files: Files, other: str, content: bytes
) -> None:
    files.images("images/a.jpg")
    files.write("all.json", build_coco([Annotation("a.jpg", (BOX,), WIDTH, HEIGHT)]))
    files.write(other, content)
    assert classes(files.survey()) == {"a.jpg": ["ace"]}


def test_folders_of_coco_tell_the_split_and_no_class(files: Files) -> None:
    files.images("images/train2017/1.jpg", "images/val2017/2.jpg", "images/king/3.jpg")
    survey = files.survey()
    assert survey.folder.splits == {"train2017/1.jpg": "train", "val2017/2.jpg": "validation"}
    assert survey.labels == {"train2017/1.jpg": None, "val2017/2.jpg": None, "king/3.jpg": "king"}


def test_what_an_annotation_says_of_its_image_counts_for_more_than_its_folder(
    files: Files,
) -> None:
    files.images("images/kings/a.jpg")
    image = b'<image name="a.jpg" width="40" height="30"><tag label="king"/></image>'
    files.write("annotations/cvat.xml", b"<annotations>" + image + b"</annotations>")
    assert files.survey().labels == {"kings/a.jpg": "king"}


def test_images_outside_of_the_folder_for_them_are_reported(files: Files) -> None:
    files.images("images/a.jpg", "extra/b.jpg", "extra/c.jpg")
    found = of_kind(files.survey(), "unread_folder")
    assert [(finding.path, finding.detail[:7]) for finding in found] == [("extra", "2 files")]


def test_a_chosen_folder_of_annotations_finds_the_names_of_its_classes(files: Files) -> None:
    files.images("images/a.jpg")
    files.write("data.yaml", b"names: [ace]\n")
    files.write("mine/a.txt", YOLO)
    config = DataConfig(uri=str(files.folder), annotations="mine")
    assert classes(survey_folder(str(files.folder), config, [])) == {"a.jpg": ["ace"]}
    wrong = DataConfig(uri=str(files.folder), annotations="mien")
    with pytest.raises(ValueError, match="has no folder 'mien'"):
        survey_folder(str(files.folder), wrong, [])


def test_rows_of_groups_that_mean_no_image_are_reported(files: Files) -> None:
    files.images("images/a.jpg", "images/b.jpg")
    rows = b"path,group\n./images/a.jpg,1\nimages/b.jpg,1\nc.jpg,1\n../d.jpg,1\n"
    files.write("groups.csv", rows)
    survey = files.survey()
    assert {survey.folder.groups[name] for name in ("a.jpg", "b.jpg")} == {"1"}
    assert [finding.path for finding in of_kind(survey, "bad_row")] == [
        "groups.csv: row 4",
        "groups.csv: row 5",
    ]


def test_links_in_hidden_folders_and_deep_folders_are_nobodys_business(files: Files) -> None:
    files.images("images/a.jpg", "images/" + "d/" * 300 + "b.jpg")
    (files.folder / ".git").mkdir()
    (files.folder / ".git" / "link").symlink_to("/")
    survey = files.survey()
    assert len(survey.facts) == 2
    assert not of_kind(survey, "leads_out")


def test_tables_and_files_mix(files: Files) -> None:
    files.images("images/a.jpg", "images/b.jpg", "images/c.jpg", "images/d.jpg")
    files.voc("annotations/a.xml", "a.jpg", BOX)
    files.write("b.csv", build_study_csv([Annotation("b.jpg", (KING,), WIDTH, HEIGHT)]))
    files.write("c.txt", build_kaggle_text([Annotation("/home/me/c.jpg", (BOX,))]))
    files.write("d.json", build_coco([Annotation("d.jpg", (KING,), WIDTH, HEIGHT)]))
    assert classes(files.survey()) == {
        "a.jpg": ["ace"],
        "b.jpg": ["king"],
        "c.jpg": ["ace"],
        "d.jpg": ["king"],
    }


def test_a_name_of_two_images_is_not_settled_by_taking_one_away(files: Files) -> None:
    files.images("images/a/1.jpg", "images/b/1.jpg")
    files.voc("annotations/a/1.xml", "1.jpg", BOX)
    files.write("all.csv", build_study_csv([Annotation("1.jpg", (BOX,), WIDTH, HEIGHT)]))
    survey = files.survey()
    assert classes(survey) == {"a/1.jpg": ["ace"]}
    assert [finding.path for finding in of_kind(survey, "ambiguous")] == ["all.csv"]


def test_an_ambiguous_row_costs_no_image_that_another_file_names_exactly(files: Files) -> None:
    files.images("images/a/1.jpg", "images/b/1.jpg")
    exact = [Annotation(f"{folder}/1.jpg", (BOX,), WIDTH, HEIGHT) for folder in "ab"]
    files.write("a.csv", build_study_csv([Annotation("1.jpg", (BOX,), WIDTH, HEIGHT)]))
    files.write("b.csv", build_study_csv(exact))
    assert classes(files.survey()) == {"a/1.jpg": ["ace"], "b/1.jpg": ["ace"]}


def test_findings_of_a_table_name_the_image(files: Files) -> None:
    files.images("images/a.jpg", "images/b.jpg")
    outside = BOX._replace(xmax=99.0)
    rows = [Annotation(f"{name}.jpg", (outside,), WIDTH, HEIGHT) for name in "ab"]
    files.write("all.csv", build_study_csv(rows))
    found = of_kind(files.survey(), "outside")
    assert [finding.path for finding in found] == [
        "all.csv: a.jpg: object 1",
        "all.csv: b.jpg: object 1",
    ]


def test_equal_corners_have_no_area_only_where_both_count_in(files: Files) -> None:
    files.images("images/a.jpg", "images/b.jpg")
    thin = Box("ace", 4, 4, 5, 20)  # one pixel wide
    files.write("a.csv", build_study_csv([Annotation("a.jpg", (thin,), WIDTH, HEIGHT)]))
    files.write("b.txt", build_kaggle_text([Annotation("b.jpg", (thin,))]))
    survey = files.survey()
    assert survey.boxes == {"b.jpg": [thin]}
    assert [finding.path for finding in of_kind(survey, "zero_area")] == ["a.csv: a.jpg: object 1"]


def test_swapped_corners_are_repaired_to_the_pixel(files: Files) -> None:
    files.images("images/a.jpg")
    files.voc("annotations/a.xml", "a.jpg", Box("ace", 20, 15, 5, 6))  # VOC: 21, 16, 5, 6
    assert files.survey().boxes == {"a.jpg": [Box("ace", 4, 5, 21, 16)]}  # VOC: 5, 6, 21, 16
