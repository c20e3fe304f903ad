"""Prediction of a pool, from files to Parquet, against what the model's arithmetic allows.

    python benchmarks/prediction.py [--model retinanet_lite0] [--images 2000] [--memory]

Real photos: ../shared/data/playing_cards, 363 files again and again under new names; a detector
that was trained on them for some steps, so that suppression has work. Each way runs in a process of
its own. Prints

    prediction_study    images/s of the task `predict` over the 2018 study's way: one image at a
                        time through the SavedModel (wanted: 3)
    prediction_memory   with --memory: peak memory at 10,000 images over that at 1,000 (wanted: 1)
    prediction          images/s of `predict`, over those of the same engine on frames that are in
                        memory already, at its best number of frames a call (wanted: 0.9)
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from boxloop import prediction, steps, storage
from boxloop.artifacts import Run
from boxloop.child import step_command, task_environment
from boxloop.data.dataset import read_dataset
from boxloop.ledger import ROUND_TASKS
from boxloop.local_run import run_logged
from boxloop.settings import PredictConfig

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "playing_cards"
EXPERIMENT = "configs/experiments/playing_cards.yaml"
FEW, MANY = 1000, 10_000
SECONDS = 10  # that the forward rate is measured for
STUDY_IMAGES = 200
FRAMES = (1, 4, 16)


def main() -> None:
    """Prepare a bundle and photos, measure each way and print the ratios."""
    parser = argparse.ArgumentParser(description="Benchmark of prediction.")
    parser.add_argument("--model", default="retinanet_lite0")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--memory", action="store_true", help="takes three minutes more")
    parser.add_argument("--child", nargs=3, help="for the benchmark itself")
    options = parser.parse_args()
    if options.child:
        name, uri, num_images = options.child
        sys.stdout.write(json.dumps(CHILDREN[name](Run(uri), int(num_images))) + "\n")
        return
    if not PHOTOS.exists():
        sys.exit(f"{PHOTOS} is not there: this benchmark needs real photos")
    with tempfile.TemporaryDirectory() as root:
        measure(_prepare(root, options.model, options.steps), options.images, options.memory)


def measure(run: Run, num_images: int, with_memory: bool) -> None:
    """Measure each way in a process of its own, twice those that the ratio is of."""
    ways = ("forward", "predict", "study", "predict", "forward")
    seen: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    for name in ways:
        seen[name].append(_run_child(name, run, num_images))
        sys.stdout.write(f"{name}: {seen[name][-1]}\n")
    speed = {name: max(value["images_per_second"] for value in seen[name]) for name in seen}
    sys.stdout.write(f"prediction_study ratio={speed['predict'] / speed['study']:.2f}\n")
    if with_memory:
        few, many = (_run_child("predict", run, count)["peak_mib"] for count in (FEW, MANY))
        sys.stdout.write(f"peak memory: {few:.0f} MiB at {FEW} images, {many:.0f} at {MANY}\n")
        sys.stdout.write(f"prediction_memory ratio={many / few:.2f}\n")
    sys.stdout.write(f"prediction ratio={speed['predict'] / speed['forward']:.3f}\n")


def predict(run: Run, num_images: int) -> dict[str, float]:
    """Detect in the pool as the task does, its process's start apart."""
    images = _photos(run, num_images)
    start = time.monotonic()
    pool = prediction.Pool(run=run, round_number=1, candidates=images, config=PredictConfig())
    value = prediction.predict(pool)
    seconds = time.monotonic() - start
    found = sum(len(pd.read_parquet(uri)) for uri in value["detections_uris"])
    storage.delete_folder(f"{run.round(1)}/detections")
    return {
        "images_per_second": round(num_images / seconds, 1),
        "detections_an_image": round(found / num_images, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def forward(run: Run, num_images: int) -> dict[str, float]:
    """Do the model's arithmetic alone, on all cores, on frames that are in memory."""
    import numpy as np

    from boxloop.inference.portable import decode, fit

    engine, spec = prediction.open_bundle(Path(run.model(1)), PredictConfig())
    uris = _photos(run, num_images)["uri"].head(max(FRAMES))
    frames = np.stack([fit(decode(storage.read_bytes(uri)), spec).frame for uri in uris])
    speeds = {}
    for count in FRAMES if engine.name == "tflite" else (1, 8, engine.batch_size):
        batch = np.resize(frames, (count, *frames.shape[1:]))
        speeds[count] = _rate(partial(engine.candidates, batch), count, engine.threads)
    best = max(speeds, key=lambda count: speeds[count])
    return {"images_per_second": round(speeds[best], 1), "frames_a_call": best}


def study(run: Run, num_images: int) -> dict[str, float]:
    """Detect in one image after the other through the SavedModel."""
    import tensorflow as tf

    model = tf.saved_model.load(run.model(1))
    detect = model.signatures["serving_default"]
    uris = _photos(run, num_images)["uri"].head(STUDY_IMAGES + 5).tolist()
    for uri in uris[:5]:  # the first calls set up the graph
        detect(image_bytes=tf.constant([storage.read_bytes(uri)]))
    start = time.monotonic()
    for uri in uris[5:]:
        found = detect(image_bytes=tf.constant([storage.read_bytes(uri)]))
        {name: value.numpy() for name, value in found.items()}
    return {"images_per_second": round(STUDY_IMAGES / (time.monotonic() - start), 1)}


def _rate(call: Callable[[], Any], frames: int, threads: int) -> float:
    """Return frames a second of calls by several threads at once."""
    end = time.monotonic() + SECONDS

    def work(_: int) -> int:
        done = 0
        call()
        while time.monotonic() < end:
            call()
            done += frames
        return done

    start = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(work, range(threads)))
    return done / (time.monotonic() - start)


def _prepare(root: str, model: str, num_steps: int) -> Run:
    """Train a detector for a few steps and export it."""
    settings = {
        "model": model,
        "data.uri": str(PHOTOS),
        "data.near_duplicates": False,
        "data.boxed_share": 0.5,
        "train.steps": num_steps,
        "rounds": 1,
    }
    spec = steps.plan_rounds(EXPERIMENT, root=root, experiment_id="run", overrides=settings)[0]
    run = Run(spec["run_uri"])
    for task in ROUND_TASKS[: ROUND_TASKS.index("export") + 1]:
        run_logged(step_command(task, run.uri, 1), task)
    return run


def _photos(run: Run, num_images: int) -> pd.DataFrame:
    """Return images of the dataset, over and over, each a file of its own."""
    images = read_dataset(run.dataset(1)).images[["uri", "sha256"]]
    folder = Path(run.uri) / "photos"
    folder.mkdir(exist_ok=True)
    rows = []
    for number in range(num_images):
        uri, sha256 = images.iloc[number % len(images)]
        path = folder / f"{number:05d}.jpg"
        if not path.exists():
            shutil.copyfile(uri, path)
        rows.append({"image_id": path.name, "uri": str(path), "sha256": sha256})
    return pd.DataFrame(rows)


def _run_child(name: str, run: Run, num_images: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", name, run.uri, str(num_images)]
    output = subprocess.run(
        command, env=task_environment(), check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    value: dict[str, Any] = json.loads(output.splitlines()[-1])
    return value


CHILDREN = {"predict": predict, "forward": forward, "study": study}

if __name__ == "__main__":
    main()
