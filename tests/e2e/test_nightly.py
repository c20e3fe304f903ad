"""Nights on a real scheduler: better, no better, nothing new, a dirty inbox; late and failed."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from boxloop import champion, storage
from boxloop.artifacts import Library, Run
from boxloop.data.dataset import read_dataset
from boxloop.data.demo import draw_demo
from boxloop.local_airflow.client import AirflowClient
from boxloop.local_airflow.server import PROJECT, AirflowServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

DAG = "nightly_retraining"
NAME = "micro"
LEARNING = {"train.steps": 150, "train.batch_size": 8, "train.learning_rate": 0.08}
"""Enough for the micro detector to find something: about a fifth of mAP@0.5."""
SPOILING = {"train.steps": 30, "train.batch_size": 8, "train.learning_rate": 0.3}
"""Enough to forget it again, on boxes that are all wrong."""


class Place:
    """Where everything of these nights lies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root, self.inbox = folder / "runs", folder / "inbox"
        self.config = folder / "night.yaml"
        self.inbox.mkdir(parents=True)
        self.alerts: list[dict[str, Any]] = []

    def configure(self, **settings: Any) -> None:
        experiment = {"rounds": 1, "data.drawn": SIZES, **settings}
        night = {"name": NAME, "experiment": "tests/data/micro.yaml", "settings": experiment}
        night |= {"inbox": str(self.inbox), "intake": {"tolerated": 1}}
        self.config.write_text(yaml.safe_dump(night))

    def arrive(self, seed: int, count: int, *, wrong: bool = False) -> None:
        """Put drawn scenes with their boxes into the inbox; wrong: all boxes in a corner."""
        drawn = self.folder / f"drawn_{seed}"
        draw_demo(drawn, seed=seed, boxed=count, pool=0, validation=0, test=0)
        for kind in ("images", "annotations"):
            (self.inbox / kind).mkdir(exist_ok=True)
            for path in sorted((drawn / kind).iterdir()):
                shutil.copy(path, self.inbox / kind / f"{seed}_{path.name}")
        if wrong:
            for path in (self.inbox / "annotations").glob(f"{seed}_*.xml"):
                path.write_text(_spoilt(path.read_text()))


SIZES = {"boxed": 16, "pool": 8, "validation": 8, "test": 48}


def _spoilt(xml: str) -> str:
    """Return an annotation whose boxes are all the same small one: readable, and wrong."""
    import re

    for name, value in (("xmin", 1), ("ymin", 1), ("xmax", 30), ("ymax", 30)):
        xml = re.sub(rf"<{name}>[^<]*", f"<{name}>{value}", xml)
    return xml


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("nights"))
    place.configure()
    return place


@pytest.fixture(scope="module")
def webhook(place: Place) -> Iterator[str]:
    """A place to post alerts to, which keeps them."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            place.alerts.append(json.loads(self.rfile.read(length)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def client(place: Place, webhook: str) -> Iterator[AirflowClient]:
    """An Airflow whose nights begin when labels arrive: the clock's time is far away."""
    with _serve(place, webhook, "0 2 1 1 *", "home") as client:
        yield client


@contextmanager
def _serve(place: Place, webhook: str, schedule: str, home: str) -> Iterator[AirflowClient]:
    """Run a real Airflow with nothing but the nightly DAG."""
    dags = place.folder / "dags"
    dags.mkdir(exist_ok=True)
    if not (dags / f"{DAG}.py").exists():
        (dags / f"{DAG}.py").symlink_to(PROJECT / "dags" / f"{DAG}.py")
    environment = {
        "BOXLOOP_ROOT": str(place.root),
        "BOXLOOP_NIGHTLY_CONFIG": str(place.config),
        "BOXLOOP_NIGHTLY_SCHEDULE": schedule,
        "BOXLOOP_NIGHTLY_HOURS": "0.001",  # every night is late at once
        "BOXLOOP_ALERT_URL": webhook,
    }
    with (
        AirflowServer(place.folder / home, port=0, environment=environment, dags=dags) as server,
        server.client() as client,
    ):
        wait_until(lambda: client.has_dag(DAG), 600)
        client.unpause(DAG)
        yield client


def wait_until(is_so: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            pytest.fail(f"it is not so after {seconds} s")
        time.sleep(0.5)


def night(client: AirflowClient, run_id: str) -> tuple[str, dict[str, str]]:
    """Run a night to its end; return its state and that of each task."""
    client.trigger(DAG, run_id, {})
    return finished(client, run_id)


def finished(client: AirflowClient, run_id: str) -> tuple[str, dict[str, str]]:
    wait_until(lambda: client.run_state(DAG, run_id) in ("success", "failed"), 1800)
    states = {i["task_id"]: i["state"] for i in client.task_instances(DAG, run_id)}
    return client.run_state(DAG, run_id), states


def records_told(client: AirflowClient) -> list[int]:
    """Return the numbers of the champions that Airflow has events of."""
    answer = client._call("GET", "/assets/events", params={"limit": 100}).json()
    found = [one for one in answer["asset_events"] if one["name"] == "boxloop/champion"]
    return sorted(one["extra"]["record"] for one in found)


def test_the_first_night_makes_a_champion(client: AirflowClient, place: Place) -> None:
    state, _ = night(client, "n1")
    assert state == "success"
    first = champion.current(str(place.root), NAME)
    assert first is not None
    assert first["reason"].startswith("Promoted: the first champion")
    assert records_told(client) == [1]


def test_a_better_detector_is_promoted(client: AirflowClient, place: Place) -> None:
    first = champion.current(str(place.root), NAME)
    assert first is not None
    place.configure(**LEARNING)
    place.arrive(7, 40)
    assert night(client, "n2")[0] == "success"
    decision = client.xcom(DAG, "n2", "promote")
    assert decision["is_promoted"], decision["reason"]
    assert decision["change"]["low"] > 0.05
    best = champion.current(str(place.root), NAME)
    assert best is not None
    assert best["map50"] > first["map50"] + 0.05
    assert records_told(client) == [1, 2]
    settings = yaml.safe_load(storage.read_bytes(Run(best["run_uri"]).experiment))
    assert settings["train"]["continue_from"] == f"{first['run_uri']}/round_01"


def test_a_worse_detector_is_not(client: AirflowClient, place: Place) -> None:
    best = champion.current(str(place.root), NAME)
    told = records_told(client)
    place.configure(**SPOILING)
    place.arrive(8, 40, wrong=True)
    assert night(client, "n3")[0] == "success"
    decision = client.xcom(DAG, "n3", "promote")
    assert not decision["is_promoted"]
    assert decision["reason"].startswith("Kept: the challenger is worse")
    assert champion.current(str(place.root), NAME) == best
    assert records_told(client) == told
    report = storage.read_bytes(Run(decision["challenger"]["run_uri"]).report).decode()
    assert "Kept: the challenger is worse" in report


def test_a_night_with_nothing_new_does_nothing(client: AirflowClient) -> None:
    """Although labels are said to have arrived."""
    asset = next(
        one
        for one in client._call("GET", "/assets").json()["assets"]
        if one["name"] == "boxloop/labels"
    )
    before = set(_runs(client))
    client._call("POST", "/assets/events", json={"asset_id": asset["id"], "extra": {}})
    wait_until(lambda: set(_runs(client)) - before, 600)
    (run_id,) = set(_runs(client)) - before
    state, states = finished(client, run_id)
    assert state == "success"
    assert set(states.values()) == {"skipped"}
    assert {"take_in", "plan_rounds", "round.train", "report", "promote"} <= set(states)


def test_a_dirty_inbox_costs_nothing_and_somebody_is_told(
    client: AirflowClient, place: Place
) -> None:
    library = Library.of(str(place.root), NAME)
    nights = storage.list_files(library.nights)
    images = len(read_dataset(_newest(library)).images)
    for number in range(9):
        (place.inbox / "images" / f"empty_{number}.jpg").write_bytes(b"")
    bomb = b'<!DOCTYPE a [<!ENTITY x "xx"><!ENTITY y SYSTEM "file:///etc/passwd">]><annotation>&y;'
    (place.inbox / "annotations" / "bomb.xml").write_bytes(bomb)
    (place.inbox / "images" / "out.jpg").symlink_to("/etc/passwd")
    state, states = night(client, "dirty")
    assert state == "failed"
    assert states["take_in"] == "failed"
    assert set(states.values()) == {"failed", "upstream_failed"}
    assert storage.list_files(library.nights) == nights
    assert len(read_dataset(_newest(library)).images) == images
    assert "empty_3.jpg" in Path(library.doctor("night-dirty")).read_text()
    wait_until(lambda: _told(place, "failed"), 600)
    told = _told(place, "failed")[-1]
    assert (told["task"], told["run"], told["round"]) == ("take_in", "dirty", None)
    assert "cannot be read" in told["error"]
    assert "/runs/dirty/" in told["log"]


def test_a_night_that_is_late_is_told_of(client: AirflowClient, place: Place) -> None:
    wait_until(lambda: "dirty" in {one["run"] for one in _told(place, "late")}, 600)
    # written after it is posted
    wait_until(lambda: storage.exists(f"{place.root}/alerts/{DAG}-dirty-late.json"), 600)


def test_the_clock_begins_nights(client: AirflowClient, place: Place, webhook: str) -> None:
    shutil.rmtree(place.inbox)
    with _serve(place, webhook, "* * * * *", "clock") as each_minute:
        wait_until(lambda: len(_runs(each_minute)) >= 2, 600)
        first, second = sorted(_runs(each_minute))[:2]
        assert first.startswith("scheduled__")
        assert first < second
        for run_id in (first, second):
            state, states = finished(each_minute, run_id)
            assert (state, set(states.values())) == ("success", {"skipped"})


def _told(place: Place, kind: str) -> list[dict[str, Any]]:
    return [one for one in place.alerts if one["kind"] == kind]


def _runs(client: AirflowClient) -> list[str]:
    found = client._call("GET", f"/dags/{DAG}/dagRuns", params={"limit": 100}).json()["dag_runs"]
    return [one["dag_run_id"] for one in found]


def _newest(library: Library) -> str:
    return library.version(storage.read_json(storage.list_files(library.nights)[-1])["version"])
