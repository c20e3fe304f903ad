"""Models that the program chooses to load are those that it knows."""

from pathlib import Path

import pandas as pd
import pytest
from tests.bundles import detect_with, make_bundle
from tests.inference.fakes import RedFinder
from tests.rounds import MICRO, plan, pretend

from boxloop import prediction, steps, storage
from boxloop.artifacts import Run
from boxloop.bundle import read_bundle
from boxloop.pool_parts import Part
from boxloop.settings import PredictConfig
from boxloop.training import weights_digest


def test_a_rounds_model_that_was_exchanged_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect_with(RedFinder(), monkeypatch)
    run = plan(tmp_path, "a")
    for task in ("parse_annotations", "write_tfrecords"):
        steps.run_task(task, run.uri, 1)
    pretend(run, 1, "train", {})
    ours = read_bundle(make_bundle(Path(run.model(1))))
    pretend(run, 1, "export", {"digest": ours["digest"]})
    storage.delete_folder(run.model(1))
    make_bundle(Path(run.model(1)), name="theirs")  # whole in itself
    rows = pd.DataFrame({"image_id": ["a"], "uri": ["/nowhere.png"], "sha256": ["0"]})
    with pytest.raises(ValueError, match=f"not {ours['digest']}"):
        prediction.predict(
            prediction.Pool(run=run, round_number=1, candidates=rows, config=PredictConfig())
        )
    with pytest.raises(ValueError, match=f"not {ours['digest']}"):
        steps.run_task("evaluate", run.uri, 1)


def finished(root: Path) -> Run:
    run = Run.of(str(root), "theirs")
    storage.write_json(f"{run.model(3)}/bundle.json", {"classes": []})
    storage.write_bytes(f"{run.weights(3)}/detector-1.index", b"weights")
    return run


def test_training_goes_on_from_elsewhere_only_by_digest(tmp_path: Path) -> None:
    theirs = finished(tmp_path / "elsewhere").round(3)

    def begin(experiment_id: str, **settings: str) -> None:
        overrides = {f"train.{name}": value for name, value in settings.items()}
        root = str(tmp_path / "root")
        steps.plan_rounds(MICRO, root=root, experiment_id=experiment_id, overrides=overrides)

    digest = weights_digest(theirs)
    with pytest.raises(ValueError, match=f"If you trust it, set train.continue_digest to {digest}"):
        begin("a", continue_from=theirs)
    begin("b", continue_from=theirs, continue_digest=digest)
    begin("c", continue_from=finished(tmp_path / "root").round(3))


@pytest.mark.parametrize(
    "experiment_id", ["../outside", "/srv/a", "a/b", "gs://bucket", "a\nb", ""]
)
def test_no_run_lies_outside_of_its_root(tmp_path: Path, experiment_id: str) -> None:
    with pytest.raises(ValueError, match="must be a folder's name"):
        steps.plan_rounds(MICRO, root=str(tmp_path), experiment_id=experiment_id, overrides={})
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_detections_and_its_sign_lie_side_by_side() -> None:
    uri = Run("/runs/experiments/a.parquet").detections(1, 1, 1, "d")
    assert Part(uri, pd.DataFrame()).sign.startswith("/runs/experiments/a.parquet/round_01/")
