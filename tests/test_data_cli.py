import io
import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from tests.data.folders import BOX, Data, picture

from boxloop import storage
from boxloop.cli import main
from boxloop.data.dataset import read_dataset


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Data:
    monkeypatch.setenv("BOXLOOP_ROOT", str(tmp_path / "root"))
    found = Data(tmp_path / "data")
    found.config()
    return found


def test_doctor_says_what_it_found_and_what_an_import_does(
    data: Data, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data.annotate("train_0.jpg", [BOX, BOX._replace(xmax=99.0)])
    monkeypatch.setenv("COLUMNS", "300")  # nothing is wrapped
    assert main(["doctor", str(data.folder)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "Box reaches out of the image" in said
    assert "12 images and 9 boxes can be used." in said
    assert "An import deals with all of this." in said


def test_doctor_of_a_clean_folder_ends_with_0(data: Data) -> None:
    assert main(["doctor", str(data.folder)]) == 0


def test_doctor_of_no_folder_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(tmp_path / "none")]) == 2
    assert "It cannot be used: " in capsys.readouterr().out


def test_doctor_gives_programs_nothing_but_json(
    data: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["doctor", str(data.folder), "--json"])
    assert json.loads(capsys.readouterr().out)["images"] == 12


def test_doctor_page_shows_names_and_never_runs_them(data: Data, tmp_path: Path) -> None:
    data.write("images/<script>x<script>.jpg", b"")
    page = tmp_path / "doctor.html"
    main(["doctor", str(data.folder), "--html", str(page)])
    text = page.read_text()
    assert "&lt;script&gt;x&lt;script&gt;.jpg" in text
    assert "<script" not in text
    assert "data:image/jpeg;base64," in text


def test_doctor_page_reads_nothing_outside_of_the_folder(data: Data, tmp_path: Path) -> None:
    page, secret = tmp_path / "doctor.html", tmp_path / "secret.jpg"
    secret.write_bytes(picture(99))
    (data.folder / "images" / "link.jpg").symlink_to(secret)
    main(["doctor", str(data.folder), "--html", str(page)])
    (section,) = [s for s in page.read_text().split("<section") if 'id="leads_out"' in s]
    assert "images/link.jpg" in section
    assert "<img" not in section


def test_control_characters_of_names_do_not_reach_the_terminal(
    data: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    data.write("images/\x1b[31m.jpg", b"")
    main(["doctor", str(data.folder)])
    said = capsys.readouterr().out
    assert "\x1b[31m" not in said
    assert "\\x1b[31m" in said


def test_import_writes_a_dataset_version(data: Data, tmp_path: Path) -> None:
    data.write("images/broken.jpg", b"")
    assert main(["import", str(data.folder), "--to", str(tmp_path / "version")]) == 0
    dataset = read_dataset(str(tmp_path / "version"))
    assert (len(dataset.images), len(dataset.boxes)) == (12, 8)
    set_aside = pd.read_csv(tmp_path / "version" / "set_aside.csv")
    assert list(set_aside["path"]) == ["images/broken.jpg"]


def test_results_go_below_the_artifact_root_unless_told_otherwise(
    data: Data, tmp_path: Path
) -> None:
    assert main(["import", str(data.folder)]) == 0
    assert main(["split", f"{data.folder}/"]) == 0
    names = {path.name for path in (tmp_path / "root" / "datasets" / "data").iterdir()}
    assert names >= {"images.parquet", "boxes.parquet", "train.csv", "validate.csv"}


def test_results_may_not_go_where_they_would_be_read_again(
    data: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["split", str(data.folder), "--to", f"{data.folder}/lists"]) == 2
    assert "where it would be read again" in capsys.readouterr().err


def test_two_folders_of_one_name_do_not_overwrite_each_other(
    data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Data(tmp_path / "elsewhere" / "data")
    other.config()
    assert main(["import", str(data.folder)]) == 0
    assert main(["import", str(other.folder)]) == 2
    assert f"holds an import of {data.folder}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["2024", "a #b"])
def test_a_place_may_have_any_name(data: Data, tmp_path: Path, name: str) -> None:
    for _ in range(2):
        assert main(["import", str(data.folder), "--to", str(tmp_path / name)]) == 0


def test_an_image_stays_where_an_earlier_import_put_it(data: Data, tmp_path: Path) -> None:
    arguments = ["import", str(data.folder), "--to", str(tmp_path / "version")]
    arguments += ["--set", "given_splits=false", "--set", "test_share=0.5"]
    assert main(arguments) == 0
    before = read_dataset(str(tmp_path / "version")).images.set_index("image_id")["split"]
    for number in range(20):
        data.add(f"more_{number}.jpg", "king", "train", [BOX._replace(class_name="king")])
    data.config()
    assert main([*arguments, "--seed", "2"]) == 0
    after = read_dataset(str(tmp_path / "version")).images.set_index("image_id")["split"]
    assert len(after) == len(before) + 20
    assert (after[before.index] == before).all()


@pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning")
def test_a_bucket_is_read_and_written_like_a_folder(
    data: Data, bucket: str, tmp_path: Path
) -> None:
    data.annotate("train_0.jpg", [BOX, BOX._replace(xmax=99.0)])
    storage.upload_folder(data.folder, f"{bucket}/photos")
    for source, target in (
        (str(data.folder), str(tmp_path / "version")),
        (f"{bucket}/photos", f"{bucket}/version"),
    ):
        assert main(["import", source, "--to", target]) == 0
    local, remote = read_dataset(str(tmp_path / "version")), read_dataset(f"{bucket}/version")
    pd.testing.assert_frame_equal(local.boxes, remote.boxes)
    pd.testing.assert_frame_equal(
        local.images.drop(columns="uri"), remote.images.drop(columns="uri")
    )
    assert remote.images["uri"].iloc[0] == f"{bucket}/photos/images/Test_0.jpg"


def test_split_prints_the_table_and_writes_the_lists(
    data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["split", str(data.folder), "--to", str(tmp_path / "lists")]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["ID", "NAME", "Train", "Validate", "Pool", "Test"]
    assert lines[1] == ["1", "ace", "2", "1", "2", "1"]
    train = pd.read_csv(tmp_path / "lists" / "train.csv")
    assert list(train.columns[:4]) == ["filename", "width", "height", "class"]
    assert list(train["filename"]) == [f"train_{n}.jpg" for n in range(4)]
    assert list(train.loc[0, ["xmin", "ymin", "xmax", "ymax"]]) == [3, 4, 22, 23]
    pool = pd.read_csv(tmp_path / "lists" / "pool.csv")
    assert list(pool["image_label"]) == ["ace", "king", "ace", "king"]


def test_split_ratio_of_the_study_is_understood(
    data: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["split", str(data.folder), "-sr", "1", "--set", "given_splits=false"]
    assert main([*arguments, "--set", "test_share=0.5"]) == 0
    total = capsys.readouterr().out.splitlines()[-1].split()
    assert sum(map(int, total[-4:])) == 12


def test_show_prints_classes_and_sizes_and_writes_a_page(
    data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "data.html"
    assert main(["data", "show", str(data.folder), "--html", str(page)]) == 0
    said = capsys.readouterr().out
    assert "ace" in said
    assert "50-75 %" in said  # boxes of 20 x 20 in images of 40 x 30: 57.7 %
    assert page.read_text().count("<figure") == 8


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("min_box=-1", "data.min_box must be >= 0, got -1"),
        ("min_bx=1", "unknown setting data.min_bx"),
        ("label_pattern=(", "data.label_pattern must be a regular expression"),
        ("min_box", "a setting is NAME=VALUE"),
    ],
)
def test_wrong_setting_is_an_error(
    data: Data, capsys: pytest.CaptureFixture[str], setting: str, message: str
) -> None:
    assert main(["doctor", str(data.folder), "--set", setting]) == 2
    assert message in capsys.readouterr().err


def test_names_may_be_read_as_others(data: Data, capsys: pytest.CaptureFixture[str]) -> None:
    data.annotate("train_0.jpg", [BOX._replace(class_name="Ace")])
    main(["split", str(data.folder), "--set", "rename={Ace: ace}"])
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[1:3]] == [
        "ace",
        "king",
    ]


def test_images_that_look_alike_stay_on_one_side(data: Data, tmp_path: Path) -> None:
    gradient = Image.linear_gradient("L").rotate(90).resize((40, 30))
    for name, brightness in (("Test_0.jpg", 0.9), ("pool_0.jpg", 0.8)):
        buffer = io.BytesIO()
        gradient.point([round(brightness * value) for value in range(256)]).save(buffer, "JPEG")
        data.write(f"images/{name}", buffer.getvalue())
    main(["import", str(data.folder), "--to", str(tmp_path / "version")])
    set_aside = pd.read_csv(tmp_path / "version" / "set_aside.csv")
    assert list(set_aside["reason"]) == ["near duplicate of an image in the test split"]
