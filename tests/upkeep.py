"""Small finished runs for the tests of upkeep: real tasks where they need no TensorFlow."""

import tempfile
from pathlib import Path
from typing import Any

from tests.bundles import make_bundle
from tests.rounds import MICRO, right_detections, run_round

from boxloop import digests, steps, storage
from boxloop.artifacts import Run
from boxloop.ledger import run_once


def finished_run(root: str, name: str = "trial", *, rounds: int = 3, **settings: Any) -> Run:
    """Return a run of which so many rounds are finished and the report is written."""
    overrides = {"rounds": rounds, **settings}
    specs = steps.plan_rounds(MICRO, root=root, experiment_id=name, overrides=overrides)
    run = Run(specs[0]["run_uri"])
    for number in range(1, rounds + 1):
        finish_round(run, number)
    steps.report(run.uri)
    return run


def finish_round(run: Run, number: int) -> None:
    """Do a round; a few bytes stand for what TensorFlow would leave."""
    for task in ("parse_annotations", "write_tfrecords"):
        steps.run_task(task, run.uri, number)
    for task, work in (("train", train), ("export", export), ("evaluate", evaluate)):
        run_once(run, number, task, lambda work=work: work(run, number), started=0.0)  # type: ignore[misc]
    run_round(run, number, right_detections(run, 20 + number), unreadable={})


def train(run: Run, number: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "weights")
        weights.mkdir()
        (weights / "checkpoint").write_text("detector-1")
        (weights / "detector-1.index").write_bytes(b"weights of round %d" % number)
        storage.write_bytes(f"{run.checkpoints(number)}/ckpt-2.index", b"all that a training is")
        storage.write_bytes(f"{run.checkpoints(number)}/checkpoint", b"ckpt-2")
        digests.note_folder(weights, run.weights(number))
        storage.upload_folder(weights, run.weights(number), last="checkpoint")
    return {"loss_curve": []}


def export(run: Run, number: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_bundle(Path(folder, "model"), round=number)
        storage.upload_folder(bundle, run.model(number), last="bundle.json")
    digest = storage.read_json(f"{run.model(number)}/bundle.json")["digest"]
    return {"model_uri": run.model(number), "digest": digest, "verified": {}}


def evaluate(run: Run, number: int) -> dict[str, Any]:
    figures = {"map50": 0.5, "map": 0.3, "ap50_per_class": {}}
    storage.write_json(run.evaluation(number), {**figures, "images": 8, "split": "test"})
    return figures


def names(run: Run) -> list[str]:
    return [uri.removeprefix(f"{run.uri}/") for uri in storage.list_files(run.uri)]
