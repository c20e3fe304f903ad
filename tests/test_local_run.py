from pathlib import Path

import pytest

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.data.dataset import read_dataset
from boxloop.ledger import task_value
from boxloop.local_run import run_experiment

pytestmark = pytest.mark.slow
MICRO = "tests/data/micro.yaml"
OVERRIDES = {"rounds": 1, "train.steps": 12, "train.checkpoint_interval": 6}


def run(root: Path, experiment_id: str) -> Run:
    run_experiment(MICRO, root=str(root), experiment_id=experiment_id, overrides=OVERRIDES)
    return Run.of(str(root), experiment_id)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("root"), "first")


def test_a_round_trains_measures_and_adopts(first: Run) -> None:
    assert task_value("train", first.uri, 1)["steps"] == 12
    summary = storage.read_json(first.summary(1))
    assert 0 <= summary["map50"] <= 1
    assert len(summary["ap50_per_class"]) == 8
    assert summary["pool"] == 24
    dataset = read_dataset(first.dataset(2))
    assert len(dataset.standing) == summary["adopted"] > 0
    assert len(dataset.training_images) == 16 + dataset.standing["image_id"].nunique()
    report = storage.read_json(first.report_summary)
    assert report["rounds"][0]["adopted"] == summary["adopted"]
    assert 0 <= report["rounds"][0]["adoption_precision"] <= 1
    assert storage.exists(f"{first.model(1)}/saved_model.pb")


def test_the_same_seed_adopts_the_same_boxes_byte_for_byte(first: Run) -> None:
    root = Path(first.uri).parents[1]
    second = run(root, "second")
    assert storage.digest(first.adoptions(1)) == storage.digest(second.adoptions(1))
    parts = [task_value("predict", run.uri, 1)["detections_uris"] for run in (first, second)]
    assert len(parts[0]) == len(parts[1]) > 0
    for one, other in zip(*parts, strict=True):  # the names hang on the model's bytes
        assert storage.digest(one) == storage.digest(other)
    assert task_value("evaluate", first.uri, 1) == task_value("evaluate", second.uri, 1)


def test_a_finished_run_is_not_run_again(first: Run) -> None:
    before = {uri: storage.digest(uri) for uri in storage.list_files(first.uri)}
    run(Path(first.uri).parents[1], "first")
    assert {uri: storage.digest(uri) for uri in storage.list_files(first.uri)} == before
