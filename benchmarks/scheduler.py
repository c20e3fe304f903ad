"""What a run costs Airflow's scheduler: tasks, seconds of a processor, seconds that tasks wait.

python benchmarks/scheduler.py     four minutes; a real Airflow, two rounds of the micro experiment

Runs alike but for the number of tasks that share the detecting (BOXLOOP_PREDICT_WORKERS). Images
are no matter: the scheduler sees tasks. It looks for dead tasks oftener than by default, as in the
fault tests (tests/faults/stage.py). Prints, a line for each on stderr:

scheduler ratio     seconds of a processor that the scheduler takes a task with 8 workers, over
                    those with one; time in which it does nothing counts too
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
WORKERS, ROUNDS = (1, 8), 2


def main() -> None:
    """Run once with each number of workers."""
    sys.path.insert(0, str(PROJECT))
    costs = [measure(workers) for workers in WORKERS]
    sys.stdout.write(f"scheduler ratio={costs[-1] / costs[0]:.2f}\n")


def measure(workers: int) -> float:
    """Return the scheduler's seconds of a processor a task of a run."""
    from tests.faults.parts import SCHEDULER, find_part
    from tests.faults.stage import Stage

    from boxloop.local_airflow.demo import DAG

    os.environ["BOXLOOP_PREDICT_WORKERS"] = str(workers)
    with tempfile.TemporaryDirectory(prefix="boxloop-bench-") as folder:
        stage = Stage(Path(folder) / "stage")
        with stage.open():
            (scheduler,) = find_part(stage, SCHEDULER)
            before = _seconds(scheduler)
            stage.trigger("run", rounds=ROUNDS)
            if (state := stage.finish("run")) != "success":
                sys.exit(f"the run ended as {state}")
            seconds = _seconds(scheduler) - before
            tasks = stage.client.task_instances(DAG, "run")
    waited = statistics.median(_waited(each) for each in tasks)
    sys.stderr.write(
        f"detecting shared by {workers}: {len(tasks)} tasks, {seconds:.1f} s of the scheduler, "
        f"{seconds / len(tasks):.2f} s a task; {waited:.2f} s from scheduled to started (median)\n"
    )
    return seconds / len(tasks)


def _seconds(process: Any) -> float:
    times = process.cpu_times()  # those of its children are tasks
    return float(times.user + times.system)


def _waited(task: Any) -> float:
    """Return the seconds from being scheduled to starting, those in the queue among them."""
    begun, due = (datetime.fromisoformat(task[name]) for name in ("start_date", "scheduled_when"))
    return (begun - due).total_seconds()


if __name__ == "__main__":
    main()
