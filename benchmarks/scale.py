"""Every step of two rounds at pools of 1,000, 10,000 and 100,000 images: time, memory, objects.

    python benchmarks/scale.py                    ten minutes on two cores
    python benchmarks/scale.py --sizes 100 1000   under a minute

Real files (a picture of 16 x 16 pixels each, 100 a folder, labels in a CSV file), the real steps,
each in a process of its own. What a detector would say is drawn at random, 20 boxes an image, so
neither training nor detecting is measured: they go image by image (docs/benchmarks.md). Prints a
table of

    seconds and peak MiB      of the step: seconds of processors, imports apart
    files, KiB                that it left in the run's folder
    XCom                      bytes that Airflow's database would keep of it

and last

    scale_xcom ratio    bytes of all XComs at the largest pool over those at a tenth (wanted: 1)
    scale_memory ratio  MiB a row that are added by the worst step from a tenth to the largest pool,
                        over 0.02 (wanted: at most 1; so a million rows fit into 20 GiB)
    scale ratio         seconds a row at the largest pool over those at a tenth, all steps together
                        (1.0 is linear, wanted: at most 1.2)
"""

from __future__ import annotations

import argparse
import csv
import importlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (1_000, 10_000, 100_000)
AN_IMAGE, CLASSES, BOXED, SIDE = 20, 10, 400, 16
MIB_A_ROW = 0.02
MICRO = Path(__file__).parents[1] / "tests/data/micro.yaml"
NAMES = [f"class_{number}" for number in range(CLASSES)]
STEPS = (
    *("plan_rounds", "parse_annotations", "write_tfrecords", "predict", "match_labels", "merge"),
    *("parse_annotations 2", "write_tfrecords 2", "predict 2", "match_labels 2", "merge 2"),
    *("report", "rounds page"),
)
IMPORTS = ("cv2", "PIL.Image", "boxloop.report.load", "boxloop.data.source", "boxloop.oracle.pool")
Row = dict[str, float]


def main() -> None:
    """Measure all steps at each size, every one in a process of its own."""
    parser = argparse.ArgumentParser(description="Benchmark of the steps by the size of the pool.")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--child", nargs=2, metavar=("STEP", "ROOT"), help="for itself")
    options = parser.parse_args()
    if options.child:
        sys.stdout.write(json.dumps(_measure(*options.child)) + "\n")
        return
    tables = {size: measure_size(size) for size in sorted(options.sizes)}
    *_, few, many = tables
    sys.stderr.write(_table(tables))
    for name, value in ratios(tables[few], tables[many], few, many).items():
        sys.stdout.write(f"{name} ratio={value:.2f}\n")


def ratios(
    small: Mapping[str, Row], large: Mapping[str, Row], few: int, many: int
) -> dict[str, float]:
    """Return what grows faster than the rows, from the measurements at two sizes."""
    per_row = [
        sum(row["seconds"] for row in table.values()) / size
        for table, size in ((small, few), (large, many))
    ]
    added = max(large[step]["mib"] - small[step]["mib"] for step in large) / (many - few)
    xcom = [sum(row["xcom"] for row in table.values()) for table in (small, large)]
    return {
        "scale_xcom": xcom[1] / xcom[0],
        "scale_memory": added / MIB_A_ROW,
        "scale": per_row[1] / per_row[0],
    }


def measure_size(size: int) -> dict[str, Row]:
    """Return what each step takes with a pool of so many images."""
    with tempfile.TemporaryDirectory(prefix="boxloop-bench-") as root:
        make_folder(Path(root) / "data", size)
        found: dict[str, Row] = {}
        for step in STEPS:
            before = _objects(root)
            done = subprocess.run(
                [sys.executable, __file__, "--child", step, root],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            row = json.loads(done.stdout.splitlines()[-1])
            after = _objects(root)
            row |= {"files": after[0] - before[0], "kib": (after[1] - before[1]) / 1024}
            found[step] = row
            sys.stderr.write(f"{size:>9,} {step}: {row['seconds']:.2f} s, {row['mib']:.0f} MiB\n")
        return found


def make_folder(folder: Path, size: int) -> None:
    """Draw a folder of so many images without boxes, and some with."""
    from PIL import Image

    draw = np.random.default_rng(1)
    labels = io.StringIO()
    writer = csv.writer(labels)
    writer.writerow(["filename", "image_label"])
    (folder / "annotations").mkdir(parents=True)
    for number in range(size + BOXED):
        name, label = f"{number // 100:05d}/{number:07d}.png", NAMES[number % CLASSES]
        path = folder / "images" / name
        if number % 100 == 0:
            path.parent.mkdir(parents=True)
        Image.fromarray(draw.integers(0, 255, (SIDE, SIDE, 3), np.uint8)).save(path)
        writer.writerow([name, label])
        if number < BOXED:
            (folder / "annotations" / f"{number:07d}.xml").write_text(_voc(number, label))
    (folder / "image_labels.csv").write_text(labels.getvalue())


def _voc(number: int, label: str) -> str:
    return (
        f"<annotation><filename>{number:07d}.png</filename><size><width>{SIDE}</width>"
        f"<height>{SIDE}</height><depth>3</depth></size><object><name>{label}</name><bndbox>"
        "<xmin>3</xmin><ymin>3</ymin><xmax>12</xmax><ymax>12</ymax></bndbox></object></annotation>"
    )


def _objects(root: str) -> tuple[int, int]:
    """Return number and bytes of the run's files."""
    paths = [p for p in Path(root, "experiments").rglob("*") if p.is_file()]
    return len(paths), sum(path.stat().st_size for path in paths)


def _measure(step: str, root: str) -> Row:
    """Do a step in this process; what the tasks before it need is made up beforehand."""
    for module in IMPORTS:
        importlib.import_module(module)
    name, _, number = step.partition(" ")
    work = _works(root)[name](int(number) if number.isdigit() else 1)
    next(work)
    start = time.process_time()
    value = next(work)
    seconds = time.process_time() - start
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "mib": mib, "xcom": len(json.dumps(value))}


def _works(root: str) -> Mapping[str, Callable[[int], Iterator[Any]]]:
    """Return for each step what first prepares it, then does it and gives its XCom."""
    from boxloop import ledger, steps
    from boxloop.artifacts import Run

    run = Run.of(root, "scale")

    def plan(_: int) -> Iterator[Any]:
        yield
        overrides = {"data.drawn": None, "data.uri": f"{root}/data", "oracle.doubt_score": 0.3}
        yield steps.plan_rounds(
            str(_without_drawn(root)), root=root, experiment_id="scale", overrides=overrides
        )

    def task(name: str) -> Callable[[int], Iterator[Any]]:
        def work(number: int) -> Iterator[Any]:
            if name == "predict":
                _pretend_models(run, number)
            yield
            yield ledger.brief(steps.run_task(name, run.uri, number))

        return work

    def report(_: int) -> Iterator[Any]:
        yield
        yield steps.report(run.uri)

    def page(_: int) -> Iterator[Any]:
        from boxloop_airflow.rounds_page import examples, figures

        yield
        ends = (("1", "1"), ("2", "2"))
        shown = figures.figures(run, ends, 2, figures.settings_digest(run))
        examples.build_examples(run, 2, "now")
        yield {"rounds": len(shown["rounds"])}

    tasks = {name: task(name) for name in ledger.ROUND_TASKS}
    return {"plan_rounds": plan, **tasks, "report": report, "rounds": page}


def _without_drawn(root: str) -> Path:
    """Return a copy of the smallest experiment without its own data."""
    lines = MICRO.read_text().splitlines(keepends=True)
    path = Path(root) / "scale.yaml"
    path.write_text("".join(line for line in lines if "drawn:" not in line and line != "data:\n"))
    return path


def _pretend_models(run: Any, number: int) -> None:
    """Leave behind what training, export, evaluation and the detecting itself would."""
    from boxloop import judging, prediction, storage
    from boxloop.data.dataset import read_dataset, to_parquet
    from boxloop.evaluation import evaluate_detections
    from boxloop.experiment import read_experiment
    from boxloop.ledger import run_once

    storage.write_json(f"{run.model(number)}/bundle.json", {"round": number})
    for name in ("train", "export"):
        run_once(run, number, name, dict, started=time.time())
    dataset, experiment = read_dataset(run.dataset(number)), read_experiment(run.experiment)
    for split, uri in (
        ("validation", run.validation_detections(number)),
        ("test", run.evaluated_detections(number)),
    ):
        storage.write_bytes(uri, to_parquet(_detections(dataset.split(split), number)))
    test = dataset.split("test")
    figures, images = evaluate_detections(
        _detections(test, number),
        dataset.boxes_in(test),
        test,
        dataset.class_names,
        threshold=0.3,
        seed=1,
    )
    figures["operating"]["threshold_from"] = "default"
    storage.write_bytes(run.evaluated_images(number), to_parquet(images))
    storage.write_json(run.evaluation(number), {"split": "test", **figures, "unreadable": {}})
    value = {name: figures[name] for name in ("map50", "map", "ap50_per_class")}
    run_once(run, number, "evaluate", lambda: value, started=time.time())
    candidates = judging.candidates(dataset, experiment.oracle)
    pool = prediction.Pool(
        run=run, round_number=number, candidates=candidates, config=experiment.predict
    )
    for part in pool.parts():
        images = candidates[candidates["image_id"].isin(part.images["image_id"])]
        storage.write_bytes(part.uri, to_parquet(_detections(images, number)))
        storage.write_json(part.sign, {})


def _detections(images: Any, seed: int) -> Any:
    """Return random detections; the first of an image is of its label and on the object."""
    import pandas as pd

    from boxloop.data.dataset import DETECTION_COLUMNS, XYXY

    first_id = str(images["image_id"].iloc[0]) if len(images) else ""
    draw = np.random.default_rng([seed, *first_id.encode()])
    count = len(images) * AN_IMAGE
    corner = draw.uniform(0, 8, (count, 2)).round(1)
    found = pd.DataFrame(np.hstack([corner, corner + draw.uniform(3, 8, (count, 2))]), columns=XYXY)
    found["image_id"] = np.repeat(images["image_id"].to_numpy(object), AN_IMAGE)
    found["class_name"] = np.array(NAMES, object)[draw.integers(0, CLASSES, count)]
    found["score"], found["agreement"] = draw.beta(1, 6, count), None
    first = np.arange(0, count, AN_IMAGE)
    found.loc[first, "class_name"] = images["image_label"].to_numpy(object)
    found.loc[first, "score"] = draw.beta(6, 2, len(first))
    found.loc[first, XYXY] = np.add([2.0, 2, 12, 12], draw.normal(0, 0.5, (len(first), 4)))
    return found[list(DETECTION_COLUMNS)].astype(DETECTION_COLUMNS)


def _table(tables: Mapping[int, Mapping[str, Row]]) -> str:
    """Return the measurements as a table in Markdown, a row a step."""
    sizes = list(tables)
    head = ["step", *(f"s at {size:,}" for size in sizes), *(f"MiB at {size:,}" for size in sizes)]
    head += ["files", "KiB", "XCom, bytes"]
    lines = [head, ["---", *["--:"] * (len(head) - 1)]]
    for step in STEPS:
        rows = [tables[size][step] for size in sizes]
        last = rows[-1]
        times = [f"{row['seconds']:.2f}" for row in rows]
        memory = [f"{row['mib']:.0f}" for row in rows]
        left = [f"{last[name]:.0f}" for name in ("files", "kib", "xcom")]
        lines.append([step, *times, *memory, *left])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
