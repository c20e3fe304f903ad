"""The whole way: a real Airflow, its scheduler, its triggerer, real training."""

import os
import re
import signal

import pytest
from tests.e2e.conftest import Start, digests, instances, wait_for_end, wait_until

from boxloop import steps, storage
from boxloop.artifacts import Run
from boxloop.data.dataset import from_parquet, read_dataset
from boxloop.local_airflow.client import AirflowClient
from boxloop.local_airflow.demo import DAG

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3600),
    # google-cloud-storage asks for a package that only its gRPC transport needs
    pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning"),
]
ROUND = ["gate", *steps.ROUND_TASKS]


@pytest.fixture(scope="module")
def finished(start: Start, client: AirflowClient) -> Run:
    """A run of two rounds that nothing disturbed."""
    run = start("undisturbed")
    assert wait_for_end(client, "undisturbed") == "success"
    return run


def test_every_task_of_both_rounds_succeeds(finished: Run, client: AirflowClient) -> None:
    expected = {(f"round.{name}", index): "success" for name in ROUND for index in (0, 1)}
    expected |= {("plan_rounds", -1): "success", ("report", -1): "success"}
    assert instances(client, "undisturbed") == expected


def test_rounds_do_not_overlap(finished: Run, client: AirflowClient) -> None:
    found = {(i["task_id"], i["map_index"]): i for i in client.task_instances(DAG, "undisturbed")}
    merged = found["round.merge", 0]["end_date"]
    assert found["round.gate", 1]["end_date"] > merged
    assert found["round.parse_annotations", 1]["start_date"] > merged
    assert found["round.parse_annotations", 1]["rendered_map_index"] == "round 02"


def test_the_report_tells_of_both_rounds(finished: Run) -> None:
    summary = storage.read_json(finished.report_summary)
    assert [row["round"] for row in summary["rounds"]] == [1, 2]
    first, second = (row["training_images"] for row in summary["rounds"])
    assert first == 16  # as tests/data/micro.yaml says
    adoptions = from_parquet(storage.read_bytes(finished.adoptions(1)))
    adopted = adoptions.loc[adoptions["verdict"] == "adopted", "image_id"]
    assert len(adopted) == summary["rounds"][0]["adopted"]
    assert second == first + adopted.nunique() > first
    assert storage.exists(finished.report)


def test_progress_is_shown_while_a_task_runs(finished: Run, client: AirflowClient) -> None:
    train = next(
        i for i in client.task_instances(DAG, "undisturbed") if i["task_id"] == "round.train"
    )
    progress = client.task_state(train, "progress")
    assert (progress["step"], progress["steps"]) == (2, 2)


def test_clearing_finished_tasks_changes_no_byte(finished: Run, client: AirflowClient) -> None:
    before = digests(finished.uri)
    tasks = [f"round.{name}" for name in ROUND]
    assert client.clear(DAG, "undisturbed", ["plan_rounds", *tasks, "report"]) == 20
    assert wait_for_end(client, "undisturbed") == "success"
    assert digests(finished.uri) == before


def test_a_finished_run_can_be_given_a_further_round(
    finished: Run, start: Start, client: AirflowClient
) -> None:
    before = {uri: value for uri, value in digests(finished.uri).items() if "/round_0" in uri}
    assert start("further", experiment_id="undisturbed", rounds=3) == finished
    assert wait_for_end(client, "further") == "success"
    assert instances(client, "further")["round.merge", 2] == "success"
    after = digests(finished.uri)
    assert {uri: after[uri] for uri in before} == before
    assert len(storage.read_json(finished.report_summary)["rounds"]) == 3


def test_a_task_of_training_that_is_killed_is_finished_by_a_retry_and_nothing_is_there_twice(
    finished: Run, start: Start, client: AirflowClient
) -> None:
    run = start("killed", rounds=1)
    wait_until(lambda: instances(client, "killed").get(("round.train", 0)) == "running", 600)
    train = next(i for i in client.task_instances(DAG, "killed") if i["task_id"] == "round.train")
    os.kill(train["pid"], signal.SIGKILL)  # as the kernel would
    assert wait_for_end(client, "killed") == "success"
    found = {i["task_id"]: i["try_number"] for i in client.task_instances(DAG, "killed")}
    assert found["round.train"] == 2
    assert found["round.evaluate"] == 1
    boxes = read_dataset(run.dataset(2)).boxes
    assert not boxes.duplicated(["image_id", "class_name", "xmin", "ymin", "xmax", "ymax"]).any()
    assert names(run, 1) == names(finished, 1)


def test_a_run_may_live_in_a_bucket(
    bucket: str, start: Start, client: AirflowClient, finished: Run
) -> None:
    run = start("bucket", artifact_root=f"{bucket}/runs")
    assert run.uri == "gs://bucket/runs/experiments/bucket"
    assert wait_for_end(client, "bucket") == "success"
    assert len(storage.read_json(run.report_summary)["rounds"]) == 2
    assert names(run, 1) == names(finished, 1)


def names(run: Run, round_number: int) -> list[str]:
    """Return the names of all files of a round, but for events: each attempt writes its own.

    Parts of detections are named by the model, whose SavedModel has other bytes each time.
    """
    folder = run.round(round_number)
    files = [uri.removeprefix(folder) for uri in storage.list_files(folder)]
    return [re.sub("-[0-9a-f]{16}[.]", ".", name) for name in files if "events.out" not in name]
