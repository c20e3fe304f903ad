import pytest
from tests.dags.parsing import parse

from boxloop_airflow.child_task import ChildTaskOperator
from boxloop_airflow.placement import GPU_EXECUTOR, GPU_POD, GPU_TASKS, placement
from boxloop_airflow.train_detector import TrainDetectorOperator


def test_without_a_setting_every_task_goes_where_airflow_sends_it() -> None:
    assert placement("train") == {}
    assert TrainDetectorOperator(task_id="train", spec={}).queue == "default"


def test_a_step_that_wants_a_gpu_goes_to_its_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GPU_TASKS, "train, predict")
    assert TrainDetectorOperator(task_id="train", spec={}).queue == "gpu"
    assert ChildTaskOperator(task_id="predict_00", step="predict", spec={}).queue == "gpu"
    assert ChildTaskOperator(task_id="export", step="export", spec={}).queue == "default"


def test_a_queue_that_the_dag_names_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GPU_TASKS, "train")
    assert TrainDetectorOperator(task_id="train", spec={}, queue="mine").queue == "mine"


def test_its_pod_is_made_from_the_template(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GPU_TASKS, "train")
    monkeypatch.setenv(GPU_POD, "/gpu-pod.yaml")
    train = TrainDetectorOperator(task_id="train", spec={})
    assert train.executor_config == {"pod_template_file": "/gpu-pod.yaml"}
    assert placement("merge") == {}


def test_it_may_have_an_executor_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GPU_TASKS, "train")
    monkeypatch.setenv(GPU_EXECUTOR, "edge")
    assert TrainDetectorOperator(task_id="train", spec={}).executor == "edge"


def test_a_step_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GPU_TASKS, "trian")
    with pytest.raises(ValueError, match=r"BOXLOOP_GPU_TASKS may name train, .*, got 'trian'"):
        placement("train")


def test_the_dag_is_parsed_with_it() -> None:
    assert parse("active_learning", **{GPU_TASKS: "train"})["pools"] == {"round.train": "gpu"}
