"""What the environment keeps secret is in nothing that anybody is shown or given."""

import json
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.report.conftest import MakeRun
from tests.report.conftest import make_run as make_run  # a fixture
from tests.rounds import plan, right_detections, run_round

from boxloop import child, failure, local_run, steps
from boxloop.artifacts import Run
from boxloop.report.load import write_report
from boxloop_airflow import alerts, last_words
from boxloop_airflow.form import PARAMS, values
from boxloop_airflow.launchers import Job, make_launcher
from boxloop_airflow.launchers.kubernetes import KubernetesOptions, pod

HUSH = "hush7391"
SECRETS = {
    "BOXLOOP_ALERT_URL": f"http://127.0.0.1:9/hook/{HUSH}?token={HUSH}",
    "BOXLOOP_LAUNCHER_OPTIONS": f'{{"environment": {{"TOKEN": "{HUSH}"}}',
    "AIRFLOW__SMTP__SMTP_PASSWORD": HUSH,
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://airflow:{HUSH}@db/airflow",
    "AIRFLOW__CORE__FERNET_KEY": HUSH,
    "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": f'{{"conn_type": "gcp", "extra": {{"key": "{HUSH}"}}}}',
    "AIRFLOW_VAR_TOKEN": HUSH,
    "BOXLOOP_GCS_KEY": f'{{"type": "service_account", "private_key": "{HUSH}"}}',
    "SOME_SERVICE_PASSWORD": HUSH,
}
MICRO = "tests/data/micro.yaml"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Look through all that was logged and printed, once the test is done."""
    caplog.set_level(logging.DEBUG, logger="boxloop")
    yield
    printed = capfd.readouterr()
    assert HUSH not in caplog.text + printed.out + printed.err


def files_with(folder: Path) -> list[str]:
    """Return the files below a folder that tell a secret."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert paths
    return [str(path) for path in paths if HUSH.encode() in path.read_bytes()]


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"x{HUSH}")
    assert len(files_with(tmp_path)) == 1


@pytest.mark.usefixtures("told")
def test_the_tasks_of_a_round_tell_nothing(tmp_path: Path) -> None:
    run = plan(tmp_path, "quiet", rounds=2)
    steps.run_task("parse_annotations", run.uri, 1)
    value = run_round(run, 1, right_detections(run, 8))
    assert HUSH not in json.dumps(value)
    assert files_with(tmp_path) == []


@pytest.mark.usefixtures("told")
def test_a_report_tells_nothing(make_run: MakeRun, tmp_path: Path) -> None:
    value = write_report(make_run(evaluated=(1, 2)).uri)
    assert HUSH not in json.dumps(value)
    assert files_with(tmp_path) == []


@pytest.mark.slow
@pytest.mark.usefixtures("told")
def test_a_whole_run_with_its_children_tells_nothing(tmp_path: Path) -> None:
    settings = {"rounds": 1, "train.steps": 6, "train.checkpoint_interval": 6}
    value = local_run.run_experiment(
        MICRO, root=str(tmp_path), experiment_id="quiet", overrides=settings
    )
    assert HUSH not in json.dumps(value)
    assert files_with(tmp_path) == []


@pytest.mark.usefixtures("told")
def test_a_form_with_an_address_that_holds_a_token_shows_it_nowhere(tmp_path: Path) -> None:
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    source = f"https://host.example/w.ckpt?X-Goog-Signature={HUSH}"
    weights = f"{{source: '{source}', sha256: '{'0' * 64}', num_classes: 91, trained_on: COCO}}"
    params = {name: param.value for name, param in PARAMS.items()}
    params |= {"experiment": MICRO, "artifact_root": str(tmp_path), "experiment_id": "form"}
    params["settings"] = f"model.detector={weights}"
    specs = values.plan({"params": params, "run_id": "r", "ti": ti})
    assert HUSH not in json.dumps([specs, pushed])
    assert pushed["experiment"]["model"]["detector"]["source"].endswith("w.ckpt?***")
    # what has to be fetched has to be known: whoever may read the run may read this
    assert files_with(tmp_path) == [Run(specs[0]["run_uri"]).experiment]


def test_what_is_wrong_in_a_form_is_told_without_its_logins(tmp_path: Path) -> None:
    params = {name: param.value for name, param in PARAMS.items()}
    params |= {"experiment": "playing_cards", "artifact_root": str(tmp_path)}
    params["data_uri"] = f"https://u:{HUSH}@host.example/data"
    with pytest.raises(values.WRONG, match=r"^Field .*: data.uri: https://\.\.\. ") as caught:
        values.plan({"params": params, "run_id": "r"})
    assert HUSH not in "".join(traceback.format_exception(caught.value))


def test_no_child_gets_airflows_secrets() -> None:
    lines: list[str] = []
    program = "import os; print(dict(os.environ)); print(open('/proc/self/cmdline').read())"
    assert child.Child([sys.executable, "-c", program]).run(lines.append) == 0
    environment, command_line = lines
    assert environment.count(HUSH) == 2  # the bucket's key, and what its client may need besides
    assert HUSH not in command_line


def test_command_lines_and_pods_hold_no_environment() -> None:
    command = child.step_command("train", "gs://bucket/runs/a", 1)
    job = Job(
        name="a", arguments=command[1:], run_uri="gs://bucket/runs/a", environment={}, owner={}
    )
    assert HUSH not in json.dumps([command, pod(job, KubernetesOptions(image="i"))], default=str)


@pytest.mark.usefixtures("told")
def test_errors_and_alerts_mask_what_addresses_hold(tmp_path: Path) -> None:
    url = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    error = ConnectionError(f"could not connect to {url} or https://h/a?sig={HUSH}")
    assert HUSH not in failure.failure_block(error, task="train", run_uri="/runs/a")
    assert HUSH not in failure.failure_line(error)
    ti = SimpleNamespace(task_id="t", dag_id="d", run_id="r", try_number=1, map_index=0)
    context = {"ti": ti, "exception": error, "params": {"artifact_root": str(tmp_path)}}
    alerts.alert_failure(context)
    last_words.tell_failure(context | {"task": SimpleNamespace(task_id="t", op_args=())})
    assert files_with(tmp_path) == []


def test_wrong_launcher_options_are_not_repeated() -> None:
    with pytest.raises(ValueError, match="must be a JSON object") as caught:
        make_launcher("local")
    assert HUSH not in str(caught.value)
