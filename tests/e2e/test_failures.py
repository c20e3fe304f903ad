"""What people meet when a task fails: the last lines of its log, on a real Airflow."""

import os
import signal
from typing import Any

import pytest
from tests.e2e.conftest import Start, instances, wait_for_end, wait_until

from boxloop.failure import RULE
from boxloop.local_airflow.client import AirflowClient
from boxloop.local_airflow.demo import DAG

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning"),
]


def block(client: AirflowClient, run_id: str, task_id: str, try_number: int = 1) -> list[str]:
    """Return the block that ends the log of an attempt, or what is there instead."""
    (found,) = [i for i in client.task_instances(DAG, run_id) if i["task_id"] == task_id]
    attempt = {**found, "try_number": try_number}
    wait_until(lambda: client.log_lines(attempt)[-1:] == [RULE], 600)  # written after its state
    lines = client.log_lines(attempt)
    assert lines.count(RULE) == 2
    return lines[lines.index(RULE) :]


def test_a_wrong_data_folder_is_told_at_the_end_of_the_log(client: AirflowClient) -> None:
    params = {"experiment": "playing_cards", "data_uri": "/no/such/folder"}
    client.trigger(DAG, "no_data", params)
    assert wait_for_end(client, "no_data") == "failed"
    told = block(client, "no_data", "plan_rounds")
    assert told[1] == "What failed: plan_rounds, experiment playing_cards"
    assert told[2] == 'On what:     the form\'s field "Data location" (data.uri)'
    assert "/no/such/folder does not exist" in told[3]
    assert instances(client, "no_data")["plan_rounds", -1] == "failed"


def test_a_training_that_is_killed_says_so_and_that_it_is_tried_again(
    start: Start, client: AirflowClient
) -> None:
    run = start("shot", rounds=1, steps=100_000)
    train: dict[str, Any] = {}

    def is_training() -> bool:
        found = [i for i in client.task_instances(DAG, "shot") if i["task_id"] == "round.train"]
        train.update(found[0])
        return found[0]["state"] == "running" and bool(client.task_state(train, "progress"))

    wait_until(is_training, 600)
    shell = client.task_state(train, "train_job")["job"]["group"]
    os.killpg(shell, signal.SIGKILL)
    wait_until(lambda: instances(client, "shot")["round.train", 0] == "up_for_retry", 600)
    told = block(client, "shot", "round.train")
    client.fail_run(DAG, "shot")
    assert told[1] == "What failed: train of round 1, experiment shot"
    assert any("Nothing yet: it is tried again by itself, 4 more times" in line for line in told)
    assert any(f"{run.round(1)};" in line for line in told)
