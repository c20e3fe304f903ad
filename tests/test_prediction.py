import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.bundles import detect_with, make_bundle
from tests.inference.fakes import RedFinder, write_image

from boxloop import prediction, storage
from boxloop.artifacts import Run
from boxloop.child import parse_progress
from boxloop.data.dataset import DETECTION_COLUMNS, from_parquet
from boxloop.embeddings import read_embeddings
from boxloop.inference.portable import Array
from boxloop.pool_parts import build_parts
from boxloop.settings import PredictConfig

CONFIG = PredictConfig(part_size=4)
TFLITE = PredictConfig(part_size=4, engine="tflite")


class Killed(BaseException):
    """What no code of ours handles, as a kill."""


class Mortal(RedFinder):
    """Is killed when it has done so many batches."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self._left = batches

    def __call__(self, frames: Array) -> tuple[Array, Array, Array | None]:
        if len(self.batches) == self._left:
            raise Killed
        return super().__call__(frames)


@pytest.fixture
def finder(monkeypatch: pytest.MonkeyPatch) -> RedFinder:
    return detect_with(RedFinder(), monkeypatch)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(str(tmp_path / "run"))
    make_bundle(Path(run.model(1)))
    return run


@pytest.fixture
def candidates(tmp_path: Path) -> pd.DataFrame:
    """Ten images, each with its red box at a place of its own."""
    return pd.DataFrame([row(tmp_path / f"images/{i}.png", i) for i in range(10)])


def row(path: Path, left: int) -> dict[str, str]:
    uri = write_image(path, (left, 16, left + 20, 32))
    return {"image_id": path.name, "uri": uri, "sha256": storage.digest(uri)}


def predict(
    run: Run, candidates: pd.DataFrame, config: PredictConfig = CONFIG, **options: Any
) -> dict[str, Any]:
    return prediction.predict(pool(run, candidates, config, **options))


def pool(
    run: Run, candidates: pd.DataFrame, config: PredictConfig = CONFIG, **options: Any
) -> prediction.Pool:
    return prediction.Pool(run=run, round_number=1, candidates=candidates, config=config, **options)


def table(value: dict[str, Any]) -> pd.DataFrame:
    tables = [from_parquet(storage.read_bytes(uri)) for uri in value["detections_uris"]]
    return pd.concat(tables, ignore_index=True)


def digests(run: Run) -> dict[str, str]:
    """Return the digest of each file of the detections."""
    folder = Path(run.round(1)) / "detections"
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_parts_hold_every_image_in_order(
    run: Run, candidates: pd.DataFrame, finder: RedFinder
) -> None:
    value = predict(run, candidates)
    found = table(value)
    assert (value["images"], value["unreadable"]) == (10, {})
    assert [len(from_parquet(storage.read_bytes(u))) for u in value["detections_uris"]] == [4, 4, 2]
    assert found["image_id"].tolist() == candidates["image_id"].tolist()
    assert found["xmin"].tolist() == list(range(10))
    assert dict(found.dtypes.astype(str)) == DETECTION_COLUMNS
    assert finder.batches == [2] * 5


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (4, [4]), (5, [3, 2]), (9, [3, 3, 3])])
def test_no_part_is_much_smaller_than_the_others(count: int, sizes: list[int]) -> None:
    images = pd.DataFrame({"image_id": range(count), "sha256": range(count)})
    parts = build_parts(Run("run"), 1, images, 4, [])
    assert [len(part.images) for part in parts] == sizes


def test_agreement_is_told_where_it_is_asked_for(
    run: Run, candidates: pd.DataFrame, finder: RedFinder
) -> None:
    plain = table(predict(run, candidates.head(2)))
    firm = table(predict(run, candidates.head(2), with_agreement=True))
    assert plain["agreement"].isna().all()
    assert firm["agreement"].to_numpy() == pytest.approx(np.ones(2), abs=0.15)
    assert firm.drop(columns="agreement").equals(plain.drop(columns="agreement"))


@pytest.mark.parametrize("with_agreement", [False, True])
def test_embeddings_are_written_where_they_are_asked_for(
    run: Run, candidates: pd.DataFrame, finder: RedFinder, with_agreement: bool
) -> None:
    candidates.loc[3, "uri"] = "/none.png"
    plain = predict(run, candidates, with_agreement=with_agreement)
    value = predict(run, candidates, with_agreement=with_agreement, with_embeddings=True)
    assert plain["embeddings_uris"] == []
    assert table(value).equals(table(plain))
    assert len(value["embeddings_uris"]) == len(value["detections_uris"]) == 3
    found = read_embeddings(value["embeddings_uris"])
    assert found["image_id"].tolist() == [f"{i}.png" for i in range(10) if i != 3]
    # grey but for 20 x 16 of 64 x 48 pixels, which are red
    red = 20 * 16 / (64 * 48)
    mean = [120 + 135 * red, 120 - 120 * red, 120 - 120 * red]
    assert np.stack(found["embedding"].tolist()) == pytest.approx(np.tile(mean, (9, 1)), rel=1e-3)


def test_an_older_model_detects_without_embeddings(
    run: Run, candidates: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Older(RedFinder):
        def __call__(self, frames: Array) -> tuple[Array, Array, Array | None]:
            return *super().__call__(frames)[:2], None

    detect_with(Older(), monkeypatch)
    value = predict(run, candidates, with_embeddings=True)
    assert len(table(value)) == 10
    assert read_embeddings(value["embeddings_uris"]).empty


@pytest.mark.parametrize("batches", range(5))
def test_a_killed_task_goes_on_with_the_part_it_was_at(
    run: Run, candidates: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    mortal = detect_with(Mortal(batches), monkeypatch)
    with pytest.raises(Killed):
        predict(run, candidates)
    assert sum(mortal.batches) == 2 * batches
    whole_parts = batches // 2
    heir = detect_with(RedFinder(), monkeypatch)
    value = predict(run, candidates)
    assert sum(heir.batches) == 10 - 4 * whole_parts
    kept = digests(run)
    storage.delete_folder(f"{run.round(1)}/detections")
    assert predict(run, candidates) == value
    assert digests(run) == kept


def test_a_part_without_its_sign_is_made_again(
    run: Run, candidates: pd.DataFrame, finder: RedFinder
) -> None:
    uri = predict(run, candidates)["detections_uris"][1]
    before = digests(run)
    Path(uri).write_bytes(b"half a table")
    Path(uri.replace(".parquet", ".unreadable.json")).unlink()
    finder.batches.clear()
    predict(run, candidates)
    assert finder.batches == [2, 2]
    assert digests(run) == before


def test_what_is_done_is_not_done_again(
    run: Run, candidates: pd.DataFrame, finder: RedFinder
) -> None:
    value = predict(run, candidates)
    finder.batches.clear()
    assert predict(run, candidates) == value
    assert not finder.batches


def test_another_model_has_parts_of_its_own(
    run: Run, candidates: pd.DataFrame, finder: RedFinder
) -> None:
    first = predict(run, candidates)
    storage.delete_folder(run.model(1))
    make_bundle(Path(run.model(1)), seed=2)
    second = predict(run, candidates)
    assert not {*first["detections_uris"]} & {*second["detections_uris"]}
    assert sum(finder.batches) == 20


@pytest.mark.parametrize(
    "config", [TFLITE, PredictConfig(part_size=4, batch_size=3)], ids=["engine", "batch"]
)
def test_other_settings_have_parts_of_their_own(
    run: Run, candidates: pd.DataFrame, finder: RedFinder, config: PredictConfig
) -> None:
    first, second = predict(run, candidates), predict(run, candidates, config)
    assert not {*first["detections_uris"]} & {*second["detections_uris"]}
    assert sum(finder.batches) == 20


def test_another_image_of_the_same_name_is_looked_at(
    run: Run, candidates: pd.DataFrame, finder: RedFinder, tmp_path: Path
) -> None:
    predict(run, candidates)
    finder.batches.clear()
    candidates.iloc[9] = pd.Series(row(tmp_path / "images/9.png", 30))
    assert table(predict(run, candidates))["xmin"].tolist() == [*range(9), 30]
    assert finder.batches == [2]


def test_no_candidates_need_no_model(tmp_path: Path, candidates: pd.DataFrame) -> None:
    value = predict(Run(str(tmp_path / "nothing")), candidates.head(0))
    empty: dict[str, Any] = {"detections_uris": [], "embeddings_uris": []}
    assert value == empty | {"images": 0, "unreadable": {}}


def test_what_cannot_be_read_is_listed_and_listed_again(
    run: Run, candidates: pd.DataFrame, finder: RedFinder
) -> None:
    Path(candidates["uri"][1]).unlink()
    Path(candidates["uri"][9]).write_bytes(b"bananas, milk")
    value = predict(run, candidates)
    assert value["images"] == 10
    assert list(value["unreadable"]) == ["1.png", "9.png"]
    assert "No such file" in value["unreadable"]["1.png"]
    assert "not an image" in value["unreadable"]["9.png"]
    assert set(table(value)["image_id"]) == {*candidates["image_id"]} - {"1.png", "9.png"}
    assert predict(run, candidates) == value


def test_where_nothing_can_be_read_the_task_fails_and_tries_again(
    run: Run, candidates: pd.DataFrame, finder: RedFinder, tmp_path: Path
) -> None:
    (tmp_path / "images").rename(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"none of 10 images can be read: 0.png: .*No such file"):
        predict(run, candidates)
    (tmp_path / "gone").rename(tmp_path / "images")
    assert not predict(run, candidates)["unreadable"]


def test_a_single_image_may_be_unreadable(
    run: Run, candidates: pd.DataFrame, finder: RedFinder
) -> None:
    Path(candidates["uri"][0]).unlink()
    assert list(predict(run, candidates.head(1))["unreadable"]) == ["0.png"]


def test_an_altered_model_is_not_used(run: Run, candidates: pd.DataFrame) -> None:
    (Path(run.model(1)) / "saved_model.pb").write_bytes(b"of somebody else")
    with pytest.raises(ValueError, match=r"saved_model.pb is not the file that was exported"):
        predict(run, candidates)


def test_progress_is_told_by_images(
    run: Run,
    candidates: pd.DataFrame,
    finder: RedFinder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(prediction, "IMAGES_A_LINE", 2)
    predict(run, candidates.head(4))
    told = [parse_progress(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["step"], each["steps"]) for each in told if each] == [(2, 4), (4, 4)]


def test_a_damaged_model_on_gs_is_named_as_it_is_there(
    bucket: str, candidates: pd.DataFrame, finder: RedFinder, tmp_path: Path
) -> None:
    run = Run(f"{bucket}/damaged")
    storage.upload_folder(make_bundle(tmp_path / "model"), run.model(1))
    storage.delete(f"{run.model(1)}/variables/data")
    with pytest.raises(ValueError, match=f"^{run.model(1)}/variables/data is missing"):
        predict(run, candidates)
