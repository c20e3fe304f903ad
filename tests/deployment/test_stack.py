"""The stack of docker-compose.yaml, whole: two rounds through Celery, on an emulated gs://."""

from __future__ import annotations

import httpx
import psutil
import pytest
from tests.deployment.client import TeamClient
from tests.deployment.conftest import RUN, VARIABLES
from tests.deployment.stack import Stack
from tests.faults.stage import wait_until

from boxloop import steps, storage
from boxloop.local_airflow.demo import DAG

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(3600)]
TASKS = ("gate", *steps.ROUND_TASKS)
PAGES = (
    f"/boxloop-rounds/dags/{DAG}/runs/{RUN}/state",
    f"/boxloop-review/dags/{DAG}/runs/{RUN}/rounds",
)
VIEWER = [{"name": "Viewer"}]


def test_a_run_of_two_rounds_succeeds(finished: str, client: TeamClient) -> None:
    states = {(i["task_id"], i["map_index"]): i["state"] for i in client.task_instances(DAG, RUN)}
    expected = {(f"round.{name}", index): "success" for name in TASKS for index in (0, 1)}
    assert states == {**expected, ("plan_rounds", -1): "success", ("report", -1): "success"}
    assert finished == "success"


def test_training_runs_on_the_gpu_worker_and_all_else_on_the_cpu_worker(
    finished: str, stack: Stack, client: TeamClient
) -> None:
    instances = client.task_instances(DAG, RUN)
    assert {i["queue"] for i in instances if i["task_id"] == "round.train"} == {"gpu"}
    assert {i["queue"] for i in instances if i["task_id"] != "round.train"} == {"default"}
    for instance in instances:
        is_training = instance["task_id"] == "round.train"
        ours, other = ("worker-gpu", "worker-cpu") if is_training else ("worker-cpu", "worker-gpu")
        assert instance["id"] in stack.log(ours), instance["task_id"]
        assert instance["id"] not in stack.log(other), instance["task_id"]


def test_the_run_lies_in_the_bucket(finished: str, bucket: str) -> None:
    run = f"{bucket}/runs/experiments/{RUN}/"
    below = {uri.removeprefix(run) for uri in storage.list_files(run)}
    assert {"report/index.html", "round_01/summary.json", "round_02/summary.json"} <= below


def test_logs_of_all_tasks_lie_in_the_bucket_and_are_shown(
    finished: str, client: TeamClient, bucket: str
) -> None:
    folder = f"{VARIABLES['BOXLOOP_LOGS']}/dag_id={DAG}/run_id={RUN}"
    instances = client.task_instances(DAG, RUN)
    tasks = {f"task_id={instance['task_id']}" for instance in instances}
    # A worker uploads the log of a task after it has told that the task is done.
    wait_until(
        lambda: (
            tasks == {uri.removeprefix(folder).split("/")[1] for uri in storage.list_files(folder)}
        ),
        60,
        f"a log of each task in {folder}",
    )
    train = next(i for i in instances if i["task_id"] == "round.train")
    lines = client.log_lines(train)
    assert any("Transfer learning Success" in line for line in lines), lines


def test_no_secret_is_in_any_log(finished: str, stack: Stack, bucket: str) -> None:
    texts = {str(path): path.read_bytes() for path in stack.folder.rglob("*.log") if path.is_file()}
    texts |= {uri: storage.read_bytes(uri) for uri in storage.list_files(VARIABLES["BOXLOOP_LOGS"])}
    assert len(texts) > len(stack.services)
    secrets = {path.name: path.read_bytes() for path in (stack.folder / "secrets").iterdir()}
    leaks = [
        (name, where) for name, each in secrets.items() for where in texts if each in texts[where]
    ]
    assert leaks == []


def test_no_secret_is_in_the_environment_or_the_arguments_of_a_process(
    finished: str, stack: Stack
) -> None:
    secrets = {path.name: path.read_text() for path in (stack.folder / "secrets").iterdir()}
    read = 0
    for process in stack.processes():
        try:
            told = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue  # it has ended meanwhile
        read += 1
        leaks = [name for name, secret in secrets.items() if any(secret in each for each in told)]
        assert leaks == [], told
    assert read >= len(stack.services) - 1  # `init` has ended


def test_workers_get_by_without_the_database_and_its_password(stack: Stack) -> None:
    for name in ("worker-cpu", "worker-gpu", "tensorboard"):
        assert not any("postgres" in value for value in stack.environment(name).values())


@pytest.mark.parametrize("name", ["worker-cpu", "triggerer", "dag-processor", "scheduler", "redis"])
def test_the_health_check_of_a_service_that_answers_passes(stack: Stack, name: str) -> None:
    answer = stack.check(name)
    assert answer.returncode == 0, answer.stdout


def test_nobody_gets_in_without_the_password(
    finished: str, stack: Stack, client: TeamClient
) -> None:
    login = {"username": "admin", "password": "admin"}
    answer = httpx.post(f"{stack.url}/auth/token", json=login, trust_env=False)
    assert answer.status_code == 401
    for path in ("/api/v2/dags", *PAGES):
        assert httpx.get(stack.url + path, trust_env=False).status_code == 401, path
        assert client.get(path).status_code == 200, path


def test_a_viewer_sees_runs_but_starts_and_decides_nothing(
    finished: str, stack: Stack, client: TeamClient
) -> None:
    person = {"username": "vera", "email": "vera@example.com", "first_name": "V", "last_name": "W"}
    password = stack.secret("api_secret_key")  # some long text
    client.post("/auth/fab/v1/users", {**person, "password": password, "roles": VIEWER})
    with TeamClient(stack.url, "vera", password) as viewer:
        assert [viewer.get(path).status_code for path in PAGES] == [200, 200]
        assert viewer.get(PAGES[1]).json()["may_decide"] is False
        assert client.get(PAGES[1]).json()["may_decide"] is True
        start = viewer.post(f"/api/v2/dags/{DAG}/dagRuns", {"logical_date": None, "conf": {}})
        assert start.status_code == 403


def test_cookies_are_kept_to_https_behind_a_proxy_that_says_so(stack: Stack) -> None:
    for scheme, is_secure in (("https", True), ("http", False)):
        headers = {"X-Forwarded-Proto": scheme, "Cookie": "_token=of-nobody"}
        answer = httpx.get(f"{stack.url}/api/v2/dags", headers=headers, trust_env=False)
        assert ("; Secure" in answer.headers["set-cookie"]) == is_secure  # it takes the cookie back
    form = httpx.get(f"{stack.url}/auth/login/", trust_env=False)
    assert "; Secure" in form.headers["set-cookie"]


def test_the_gpu_pool_is_there_with_one_slot(stack: Stack, client: TeamClient) -> None:
    assert client.get("/api/v2/pools/gpu").json()["slots"] == 1


def test_the_health_check_of_a_worker_that_is_gone_fails(finished: str, stack: Stack) -> None:
    stack.end("worker-gpu")
    assert stack.check("worker-gpu").returncode != 0
