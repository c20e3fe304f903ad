"""Several workers detect in one pool: some are slow, some die, and the result is the same."""

import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.bundles import detect_with
from tests.inference.fakes import RedFinder
from tests.test_prediction import Killed, Mortal, digests, pool, row, table
from tests.test_prediction import run as run  # a fixture

from boxloop import prediction, storage
from boxloop.artifacts import Run
from boxloop.child import parse_progress
from boxloop.inference.portable import Array
from boxloop.pool_parts import left_over
from boxloop.settings import PredictConfig

CONFIG = PredictConfig(part_size=2)


@pytest.fixture
def candidates(tmp_path: Path) -> pd.DataFrame:
    """Twelve images: six parts."""
    return pd.DataFrame([row(tmp_path / f"images/{i:02d}.png", i) for i in range(12)])


@pytest.fixture
def expected(run: Run, candidates: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What one task makes of the pool; it is cleared away."""
    detect_with(RedFinder(), monkeypatch)
    prediction.predict(pool(run, candidates, CONFIG))
    found = digests(run)
    storage.delete_folder(f"{run.round(1)}/detections")
    return found


@pytest.mark.parametrize("workers", [2, 3, 16])
def test_files_are_the_same_however_many_workers_make_them(
    run: Run,
    candidates: pd.DataFrame,
    expected: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
) -> None:
    finder = detect_with(RedFinder(), monkeypatch)
    shared = pool(run, candidates, CONFIG)
    made = [prediction.predict_share(shared, n, workers)["parts"] for n in range(1, workers + 1)]
    value = prediction.predict(shared, workers=workers)
    assert digests(run) == expected
    assert sum(finder.batches) == 12
    assert sum(made) == 6
    assert table(value)["image_id"].tolist() == candidates["image_id"].tolist()
    assert value["images"] == 12


def test_a_worker_that_does_more_than_its_share_loads_the_model_once_and_counts_on(
    run: Run,
    candidates: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    detect_with(RedFinder(), monkeypatch)
    opened, real = [], prediction.open_bundle

    def open_bundle(folder: Path, *others: Any, **named: Any) -> Any:
        opened.append(folder)
        return real(folder, *others, **named)

    monkeypatch.setattr(prediction, "open_bundle", open_bundle)
    monkeypatch.setattr(prediction, "IMAGES_A_LINE", 4)
    prediction.predict_share(pool(run, candidates, CONFIG), 1, 2)
    told = filter(None, map(parse_progress, capsys.readouterr().out.splitlines()))
    assert [(each["step"], each["steps"]) for each in told] == [(4, 6), (8, 8), (12, 12)]
    assert len(opened) == 1


def test_workers_side_by_side_part_the_work(
    run: Run, candidates: pd.DataFrame, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first worker is stuck in its first part, the second does all others."""
    is_stuck, others_are_done = threading.Event(), threading.Event()

    class Stuck(RedFinder):
        def __call__(self, frames: Array) -> tuple[Array, Array, Array | None]:
            if len(self.batches) == 0:
                self.batches.append(0)
                is_stuck.set()
                assert others_are_done.wait(30)
            return super().__call__(frames)

    detect_with(Stuck(), monkeypatch)
    made: dict[int, int] = {}

    def work(worker: int) -> None:
        shared = pool(run, candidates, CONFIG)
        made[worker] = prediction.predict_share(shared, worker, 2)["parts"]

    first = threading.Thread(target=work, args=(1,))
    first.start()
    assert is_stuck.wait(30)
    detect_with(RedFinder(), monkeypatch)
    work(2)
    others_are_done.set()
    first.join()
    assert made == {1: 1, 2: 6}  # the one that both were at is made twice, of the same bytes
    assert digests(run) == expected


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_the_parts_of_a_worker_that_dies_are_made_by_another(
    run: Run,
    candidates: pd.DataFrame,
    expected: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    batches: int,
) -> None:
    detect_with(Mortal(batches), monkeypatch)
    shared = pool(run, candidates, CONFIG)
    with pytest.raises(Killed):
        prediction.predict_share(shared, 1, 2)
    heir = detect_with(RedFinder(), monkeypatch)
    assert prediction.predict_share(shared, 2, 2)["parts"] == 6 - batches
    prediction.predict(shared, workers=2)
    assert sum(heir.batches) == 12 - 2 * batches
    assert digests(run) == expected


def test_what_no_worker_did_the_task_itself_does(
    run: Run, candidates: pd.DataFrame, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    detect_with(Mortal(2), monkeypatch)
    shared = pool(run, candidates, CONFIG)
    with pytest.raises(Killed):
        prediction.predict_share(shared, 1, 2)
    heir = detect_with(RedFinder(), monkeypatch)
    value = prediction.predict(shared, workers=2)
    assert sum(heir.batches) == 8
    assert len(value["detections_uris"]) == 6
    assert digests(run) == expected


def test_what_a_worker_could_not_read_is_not_tried_by_all_of_them(
    run: Run, candidates: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    finder = detect_with(RedFinder(), monkeypatch)
    for uri in candidates["uri"][::2]:
        Path(uri).unlink()
    shared = pool(run, candidates, CONFIG)
    for worker in (1, 2):
        prediction.predict_share(shared, worker, 2)
    looked_at = sum(finder.batches)
    assert looked_at <= 9  # six, and once more the share of the second worker: they may be back
    value = prediction.predict(shared, workers=2)
    assert list(value["unreadable"]) == candidates["image_id"][::2].tolist()
    assert sum(finder.batches) == looked_at


def test_where_nothing_could_be_read_the_task_alone_looks_again(
    run: Run, candidates: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect_with(RedFinder(), monkeypatch)
    (tmp_path / "images").rename(tmp_path / "gone")
    shared = pool(run, candidates, CONFIG)
    prediction.predict_share(shared, 1, 1)
    with pytest.raises(ValueError, match="none of 12 images can be read"):
        prediction.predict(shared, workers=2)
    (tmp_path / "gone").rename(tmp_path / "images")
    assert not prediction.predict(shared, workers=2)["unreadable"]


def test_workers_begin_with_what_is_left_at_different_ends(
    run: Run, candidates: pd.DataFrame
) -> None:
    parts = pool(run, candidates, CONFIG).parts()
    numbers = {part.uri: number for number, part in enumerate(parts)}
    order = {
        worker: [numbers[part.uri] for part in left_over(parts, worker, 3)] for worker in (1, 2, 3)
    }
    assert order == {1: [5, 2, 4, 1], 2: [3, 0, 5, 2], 3: [4, 1, 3, 0]}
