import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from airflow.sdk.exceptions import AirflowFailException
from tests.plugins.conftest import Store

from boxloop import lease, storage
from boxloop.artifacts import Run
from boxloop.ledger import run_once
from boxloop_airflow import train_detector
from boxloop_airflow.launchers import OUT_OF_MEMORY, Status
from boxloop_airflow.progress import Display
from boxloop_airflow.tensorboard import tensorboard_url
from boxloop_airflow.train_detector import OFFSET_KEY, TrainDetectorOperator

VALUE = {"steps": 60}
MARK = "BOXLOOP_TEST_TRAINER"
TRAINS = """
import sys, time
from boxloop.artifacts import Run
from boxloop.ledger import run_once
from boxloop.progress import tell
run = Run(sys.argv[1])
def work():
    print("trained", flush=True)
    tell(step=60, steps=60, images_per_second=9, loss=0.5)
    return {"steps": 60}
run_once(run, 2, "train", work, started=time.time())
"""
SLOW = "import time; print('up', flush=True); time.sleep(2)\n" + TRAINS
SAVES = """
import pathlib, signal, sys, time
def save(*_):
    time.sleep(3)
    pathlib.Path(sys.argv[1], "saved").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
print("up", flush=True)
time.sleep(60)
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose second round is ready to train."""
    run = Run(str(tmp_path / "runs" / "experiments" / "Demo 1"))
    storage.write_json(run.marker(2, "write_tfrecords"), {"fingerprint": "", "value": {}})
    return run


@pytest.fixture
def operator(run: Run) -> TrainDetectorOperator:
    spec = {"run_uri": run.uri, "round_number": 2}
    return TrainDetectorOperator(task_id="train", spec=spec)


@pytest.fixture
def trainer(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], None]]:
    """Make the job run a script; none of them is left in the end."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(MARK, str(tmp_path))

    def use(script: str) -> None:
        def step_command(*arguments: Any) -> list[str]:
            return [sys.executable, "-c", script, run.uri]

        monkeypatch.setattr(train_detector, "step_command", step_command)

    yield use
    for process in trainers(tmp_path):
        process.kill()


def trainers(tmp_path: Path) -> list[psutil.Process]:
    """Return the jobs of a test that live now, and their shells."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(tmp_path) and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            pass
    return found


def context(store: Store | None = None, *, max_tries: int = 4, **ti: Any) -> dict[str, Any]:
    known = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": 1, "try_number": 1}
    ti = {**known, "max_tries": max_tries, "stats_tags": {}, "xcom_push": pytest.fail, **ti}
    return {"ti": SimpleNamespace(**ti), "task_state_store": store}


def execute(operator: TrainDetectorOperator, context: dict[str, Any]) -> Any:
    return type(operator).execute.__wrapped__(operator, context)  # type: ignore[attr-defined]


def again(operator: TrainDetectorOperator) -> TrainDetectorOperator:
    """Return the operator as another attempt has it."""
    return TrainDetectorOperator(task_id="train", spec=operator.spec, resume=operator.resume)


def kill_the_task(operator: TrainDetectorOperator, store: Store) -> None:
    """Run an attempt whose process dies once the job has printed a line."""
    killed = RuntimeError("killed")

    def die(line: str, offset: Any) -> None:
        store.set(OFFSET_KEY, offset)
        raise killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_detector, "Display", lambda *arguments, **options: die)
        with pytest.raises(RuntimeError, match="killed"):
            execute(operator, context(store))


def test_it_returns_what_training_left_in_its_marker(
    operator: TrainDetectorOperator, run: Run, trainer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer(TRAINS)
    store = Store()
    assert execute(operator, context(store)) == VALUE
    assert store["progress"]["step"] == 60
    assert "trained" in capsys.readouterr().out
    assert not storage.exists(run.heartbeat(2))


def test_progress_of_an_earlier_attempt_is_not_shown_of_a_new_job(
    operator: TrainDetectorOperator, trainer: Any
) -> None:
    trainer("raise SystemExit(1)")
    store = Store(progress={"step": 9, "steps": 10})
    with pytest.raises(RuntimeError):
        execute(operator, context(store))
    assert "progress" not in store


def test_it_takes_a_slot_of_the_gpu_pool(operator: TrainDetectorOperator) -> None:
    assert (operator.pool, operator.pool_slots) == ("gpu", 1)


def test_the_spec_of_a_mapped_group_and_the_form_reach_it() -> None:
    assert set(TrainDetectorOperator.template_fields) == {"spec", "resume"}


def test_a_finished_training_starts_nothing(operator: TrainDetectorOperator, run: Run) -> None:
    run_once(run, 2, "train", lambda: VALUE, started=0)
    assert execute(operator, context(Store())) == VALUE
    assert operator._job is None


def test_a_retry_finds_the_job_of_a_task_that_was_killed(
    operator: TrainDetectorOperator,
    trainer: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trainer(SLOW)
    store = Store()
    kill_the_task(operator, store)
    pids = {process.pid for process in trainers(tmp_path)}
    assert pids
    capsys.readouterr()
    retry = again(operator)
    threads = threading.Thread(target=lambda: pids.update(p.pid for p in trainers(tmp_path)))
    threads.start()
    assert execute(retry, context(store)) == VALUE
    threads.join()
    log = capsys.readouterr().out
    assert "trained" in log
    assert "'up'" not in log  # the attempt before has shown it
    assert "Launching" not in log


def test_a_retry_tells_the_end_of_a_job_that_finished_unwatched(
    operator: TrainDetectorOperator,
    run: Run,
    trainer: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trainer("print('up')\n" + TRAINS)
    store = Store()
    kill_the_task(operator, store)
    storage.write_bytes(run.heartbeat(2), b"1")  # as a task leaves it that is killed for good
    while trainers(tmp_path):
        time.sleep(0.05)
    capsys.readouterr()
    assert execute(again(operator), context(store)) == VALUE
    assert "trained" in capsys.readouterr().out
    assert not storage.exists(run.heartbeat(2))
    assert list(tmp_path.glob("boxloop-*")) == []


def test_a_retry_after_the_job_died_unwatched_starts_another(
    operator: TrainDetectorOperator, trainer: Any, tmp_path: Path
) -> None:
    trainer(SLOW)
    store = Store()
    kill_the_task(operator, store)
    for process in trainers(tmp_path):
        process.kill()
        process.wait(60)
    trainer(TRAINS)
    assert execute(again(operator), context(store)) == VALUE
    assert list(tmp_path.glob("boxloop-*")) == []


def test_a_job_that_failed_for_good_while_unwatched_is_not_tried_again(
    operator: TrainDetectorOperator, trainer: Any
) -> None:
    trainer("import time; print('up', flush=True); time.sleep(0.5); raise SystemExit(2)")
    store = Store()
    kill_the_task(operator, store)
    time.sleep(1)
    with pytest.raises(AirflowFailException, match="would fail again"):
        execute(again(operator), context(store))


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        ("raise SystemExit(2)", AirflowFailException, "round 2 would fail again"),
        ("raise SystemExit(7)", RuntimeError, "ended with exit code 7; the next attempt goes on"),
        ("import os; os.kill(os.getpid(), 9)", RuntimeError, r"137 \(ended by signal 9\)"),
    ],
    ids=["hopeless", "failure", "killed"],
)
def test_what_cannot_help_is_not_tried_again(
    operator: TrainDetectorOperator,
    trainer: Any,
    script: str,
    error: type[Exception],
    message: str,
) -> None:
    trainer(script)
    with pytest.raises(error, match=message):
        execute(operator, context(Store()))


def test_a_machine_with_too_little_memory_is_not_tried_again(
    operator: TrainDetectorOperator,
) -> None:
    with pytest.raises(AirflowFailException, match=r"lower train\.batch_size"):
        operator._check(Status("failed", 137, OUT_OF_MEMORY), None)


def test_a_killed_task_asks_the_job_to_save_and_does_not_wait_for_it(
    operator: TrainDetectorOperator, run: Run, trainer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(SAVES)
    saved = Path(run.uri, "saved")
    is_saved: list[bool] = []

    def kill() -> None:
        operator.on_kill()
        is_saved.append(saved.exists())

    killer = threading.Thread(target=kill)
    monkeypatch.setattr(Display, "__call__", lambda *_: killer.start())  # the job is up
    with pytest.raises(RuntimeError, match="exit code 143"):
        execute(operator, context(Store()))
    killer.join()
    assert is_saved == [False]
    assert saved.exists()


def test_on_kill_before_the_job_runs_does_nothing(operator: TrainDetectorOperator) -> None:
    operator.on_kill()
    assert operator._job is None


def test_a_cleared_task_ends_the_job_of_before_and_starts_its_own(
    operator: TrainDetectorOperator, run: Run, trainer: Any
) -> None:
    trainer(SAVES)
    store = Store()
    kill_the_task(operator, store)
    trainer(TRAINS)
    assert execute(again(operator), context(store, max_tries=6)) == VALUE
    end = time.monotonic() + 60
    while not Path(run.uri, "saved").exists():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(("resume", "anew"), [("auto", False), ("never", True)])
def test_a_cleared_task_trains_anew_if_asked(
    operator: TrainDetectorOperator,
    run: Run,
    trainer: Any,
    resume: str,
    anew: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trainer(TRAINS)
    store = Store()
    operator.resume = resume
    execute(operator, context(store))
    checkpoint = f"{run.checkpoints(2)}/ckpt-60.index"
    storage.write_bytes(checkpoint, b"")
    capsys.readouterr()
    assert execute(again(operator), context(store, max_tries=6)) == VALUE
    assert ("trained" in capsys.readouterr().out) == anew
    assert storage.exists(checkpoint) != anew


def test_a_retry_never_trains_anew(operator: TrainDetectorOperator, run: Run, trainer: Any) -> None:
    trainer("raise SystemExit(7)")
    store = Store()
    operator.resume = "never"
    with pytest.raises(RuntimeError):
        execute(operator, context(store))
    checkpoint = f"{run.checkpoints(2)}/ckpt-10.index"
    storage.write_bytes(checkpoint, b"")
    trainer(TRAINS)
    assert execute(again(operator), context(store)) == VALUE
    assert storage.exists(checkpoint)


def test_training_anew_waits_for_a_trainer_that_still_saves(
    operator: TrainDetectorOperator, run: Run, trainer: Any
) -> None:
    trainer(TRAINS)
    operator.resume = "never"
    checkpoint = f"{run.checkpoints(2)}/ckpt-10.index"
    with lease.hold(run.lease(2)):
        thread = threading.Thread(target=execute, args=(operator, context(Store())))
        thread.start()
        time.sleep(0.5)
        storage.write_bytes(checkpoint, b"")
    thread.join()
    assert not storage.exists(checkpoint)


def test_it_works_without_a_state_store(operator: TrainDetectorOperator, trainer: Any) -> None:
    trainer(TRAINS)
    assert execute(operator, context(None)) == VALUE


def test_resume_is_checked(operator: TrainDetectorOperator) -> None:
    operator.resume = "sometimes"
    with pytest.raises(ValueError, match="resume must be auto or never, got 'sometimes'"):
        execute(operator, context(Store()))


def test_the_job_has_a_name_that_every_launcher_takes(operator: TrainDetectorOperator) -> None:
    job = operator._build_job(context()["ti"])
    assert job.name.startswith("boxloop-demo-1-02-")
    assert job.arguments[:4] == ["-m", "boxloop", "step", "train"]
    assert job.owner["map_index"] == "1"
    long = Run(operator.spec["run_uri"] + "-" + "very-long-name" * 10)
    operator.spec = {"run_uri": long.uri, "round_number": 2}
    assert len(operator._build_job(context()["ti"]).name) <= 63


def test_the_link_to_tensorboard_is_there_while_training(
    operator: TrainDetectorOperator, trainer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(TRAINS)
    monkeypatch.setenv("BOXLOOP_TENSORBOARD_URL", "http://board:6006/")
    pushed: dict[str, str] = {}
    ti = context(Store(), xcom_push=lambda key, value: pushed.update({key: value}))
    execute(operator, ti)
    url = "http://board:6006/?runFilter=%28%5E%7CDemo%201%2F%29round_02%2F#timeseries"
    assert pushed == {"_link_TensorBoardLink": url}


def test_there_is_no_link_without_a_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOXLOOP_TENSORBOARD_URL", raising=False)
    assert tensorboard_url("r", 1) == ""
    assert TrainDetectorOperator.operator_extra_links == ()


def test_a_trainer_that_lost_every_task_ends_itself(
    operator: TrainDetectorOperator, trainer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOXLOOP_ORPHAN_SECONDS", "1")
    watches = "from boxloop.child import watch_lifeline; watch_lifeline()\n"
    trainer(watches + SAVES)
    kill_the_task(operator, Store())
    end = time.monotonic() + 60
    while trainers(tmp_path):
        assert time.monotonic() < end
        time.sleep(0.1)
