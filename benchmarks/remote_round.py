"""Run rounds of the demo with their root on gs://, on an emulator, beside the same in a folder.

python benchmarks/remote_round.py                    about ten minutes
python benchmarks/remote_round.py --experiment tests/data/micro.yaml --rounds 1    a few: starts

Prints, progress going to stderr:
remote_round ratio   seconds of all tasks of the rounds on gs:// over those in a folder, the fewest
                     of each over all pairs; wanted: at most 1.15

Data are drawn into each root before the clock starts. Both run by turns, each in processes of its
own, with a cache (docs/gcs-and-gpus.md) that is empty in the beginning; the emulator is in memory,
in a process of its own, and takes of the same cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from boxloop import steps, storage
from boxloop.artifacts import Run

try:
    from benchmarks.transfers import emulator
except ModuleNotFoundError:  # run as a script: this folder is on the path, not the one above
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from benchmarks.transfers import emulator

DEMO = "configs/experiments/demo.yaml"


def main() -> None:
    """Run pairs, and compare their best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default=DEMO)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=2)
    options = parser.parse_args()
    taken: dict[str, list[dict[str, float]]] = {"folder": [], "gs://": []}
    with tempfile.TemporaryDirectory(prefix="boxloop-bench-") as folder, emulator():
        for pair in range(options.pairs):
            roots = {"folder": f"{folder}/{pair}", "gs://": f"gs://bucket/{pair}"}
            for place in list(roots)[:: 1 if pair % 2 else -1]:
                os.environ["BOXLOOP_CACHE"] = f"{folder}/cache-{pair}"
                os.environ["BOXLOOP_CACHE_GB"] = "5"
                taken[place].append(run(options.experiment, roots[place], options.rounds))
                _tell(f"pair {pair + 1}, {place}: {_told(taken[place][-1])}")
    best = {place: min(sum(times.values()) for times in taken[place]) for place in taken}
    _tell(f"best of {options.pairs}: folder {best['folder']:.1f} s, gs:// {best['gs://']:.1f} s")
    sys.stdout.write(f"remote_round ratio={best['gs://'] / best['folder']:.2f}\n")


def run(experiment: str, root: str, rounds: int) -> dict[str, float]:
    """Return the seconds of each task, over all rounds of a run."""
    steps.plan_rounds(experiment, root=root, experiment_id="bench", overrides={"rounds": rounds})
    command = [sys.executable, "-W", "ignore", "-m", "boxloop", "run", experiment, "--id", "bench"]
    options = ["--root", root, "--rounds", str(rounds)]
    subprocess.run([*command, *options], check=True, stdout=sys.stderr)
    found: dict[str, float] = {}
    made = Run.of(root, "bench")
    for number in range(1, rounds + 1):
        folder = made.timing(number, "merge").rpartition("/")[0]
        for uri in storage.list_files(folder):
            task = Path(uri).stem.partition("-")[0]
            found[task] = found.get(task, 0.0) + float(storage.read_json(uri)["seconds"])
    return found


def _told(times: dict[str, float]) -> str:
    return ", ".join(f"{task} {seconds:.1f}" for task, seconds in times.items())


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
