"""People as the oracle: a run that waits, a browser in which somebody answers, a dataset that has
every answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import expect
from tests.e2e.conftest import MICRO, Start, instances, wait_for_end, wait_until
from tests.reviewer import Reviewer, open_browser

from boxloop import review, storage
from boxloop.artifacts import Run
from boxloop.data.dataset import DOUBTFUL, REVIEWED, XYXY, read_dataset
from boxloop.local_airflow.client import AirflowClient
from boxloop.local_airflow.demo import DAG
from boxloop.local_airflow.server import PROJECT, AirflowServer
from boxloop.oracle.decisions import Decision

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning"),
]
TASK, MERGE = ("round.match_labels", 0), ("round.merge", 0)
NUM_DECISIONS = 30


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The micro experiment with a larger pool, one round, and people beside the labels."""
    settings = yaml.safe_load((PROJECT / MICRO).read_text())
    settings["rounds"] = 1
    settings["data"]["drawn"]["pool"] = 48
    settings["oracle"]["by"] = "both"
    settings["review"] = {"items": 40}
    path = tmp_path_factory.mktemp("experiment") / "asks.yaml"
    path.write_text(yaml.safe_dump(settings))
    return str(path)


@pytest.fixture(scope="module")
def waiting(start: Start, client: AirflowClient, experiment: str) -> Run:
    """A run whose round waits for people."""
    run = start("reviewed", experiment=experiment)
    wait_until(lambda: instances(client, "reviewed").get(TASK) == "awaiting_input", 600)
    return run


@pytest.fixture(scope="module")
def reviewer(waiting: Run, server: AirflowServer) -> Iterator[Reviewer]:
    """Somebody who opens the run's tab in the Airflow UI."""
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(f"{server.url}/dags/{DAG}/runs/reviewed/plugin/review")
        yield Reviewer(page, page.frame_locator("iframe"))


@pytest.fixture(scope="module")
def answered(waiting: Run, reviewer: Reviewer) -> list[Decision]:
    """Thirty decisions: a corrected box, a reload in the middle, one undo; then the run goes on."""
    total = len(asked_about(waiting))
    assert total >= NUM_DECISIONS, f"only {total} images are asked about"
    reviewer.wait()
    done = correct(reviewer)
    while done < NUM_DECISIONS // 2:
        done = answer(reviewer, done, total)
    reviewer.page.reload()
    reviewer.wait()
    reviewer.expect_done(done, total)
    reviewer.press("u")
    reviewer.expect_done(done - 1, total)
    done -= 1
    while done < NUM_DECISIONS:
        done = answer(reviewer, done, total)
    reviewer.go_on()
    found, set_aside = review.read_decisions(waiting, 1)
    assert set_aside == {}
    return found


@pytest.fixture(scope="module")
def merged(waiting: Run, client: AirflowClient, answered: list[Decision]) -> Run:
    """The run, once the round's decisions are in the dataset."""
    wait_until(lambda: instances(client, "reviewed").get(MERGE) == "success", 600)
    return waiting


def asked_about(run: Run) -> Any:
    """Return what the round asks."""
    return review.read_review(run, 1).queue


def correct(reviewer: Reviewer) -> int:
    """Drag the lower right corner of the first box that is shown; else draw one."""
    stage = reviewer.stage()
    if reviewer.find(".box").count():
        box = reviewer.box()
        corner = (box.x + box.width, box.y + box.height)
        reviewer.drag(corner, (stage.x + stage.width / 2 + 40, stage.y + stage.height / 2 + 40))
    else:
        reviewer.drag((stage.x + 20, stage.y + 20), (stage.x + 90, stage.y + 120))
    expect(reviewer.find("#accept-word")).to_have_text("Save correction")
    reviewer.press("a")
    return 1


def answer(reviewer: Reviewer, done: int, total: int) -> int:
    """Accept every second image, draw where nothing is proposed, reject the others."""
    has_box = reviewer.find(".box").count() > 0
    if not has_box and done % 2:
        stage = reviewer.stage()
        reviewer.drag((stage.x + 30, stage.y + 30), (stage.x + 100, stage.y + 110))
    reviewer.press("a" if done % 2 else "r")
    reviewer.expect_done(done + 1, total)
    return done + 1


def test_every_decision_is_of_the_user_who_was_logged_in(answered: list[Decision]) -> None:
    actions = [one.action for one in answered]
    assert len(actions) - 2 * actions.count("undo") == NUM_DECISIONS
    assert actions.count("undo") == 1
    assert "correct" in actions
    assert len({one.author for one in answered}) == 1
    assert all(one.seconds > 0 for one in answered)


def test_every_box_that_a_person_gave_is_in_the_next_dataset_version(
    merged: Run, answered: list[Decision]
) -> None:
    standing = review.close(merged, 1)
    assert len(standing) == NUM_DECISIONS
    given = sorted(
        (one.image_id, box.class_name, *box.xyxy)
        for one in standing
        for box in one.boxes
        if one.action in ("accept", "correct")
    )
    boxes = read_dataset(merged.dataset(2)).boxes
    reviewed = boxes[boxes["origin"] == REVIEWED]
    found = reviewed[["image_id", "class_name", *XYXY]].itertuples(index=False, name=None)
    assert sorted(found) == given
    assert set(reviewed["author"]) == {answered[0].author}


def test_no_box_that_a_person_refused_is_in_it(merged: Run) -> None:
    queue = asked_about(merged).set_index("image_id")
    boxes = read_dataset(merged.dataset(2)).boxes
    rejected = [one for one in review.close(merged, 1) if one.action == "reject"]
    assert rejected
    for one in rejected:
        proposed = queue.loc[one.image_id, ["class_name", *XYXY]]
        own = boxes[(boxes["image_id"] == one.image_id) & (boxes["origin"] != DOUBTFUL)]
        assert not (own[["class_name", *XYXY]] == proposed).all(axis=1).any()


def test_the_summary_tells_of_people(merged: Run, answered: list[Decision]) -> None:
    summary = storage.read_json(merged.summary(1))
    assert summary["human_seconds"] == pytest.approx(sum(one.seconds for one in answered), abs=0.01)
    assert summary["reviewed"] + summary["refused"] >= NUM_DECISIONS
    assert summary["decisions_set_aside"] == {}


def test_the_run_ends_well_and_a_cleared_task_does_not_ask_again(
    merged: Run, client: AirflowClient
) -> None:
    assert wait_for_end(client, "reviewed") == "success"
    client.clear(DAG, "reviewed", [TASK])
    assert wait_for_end(client, "reviewed") == "success"


def test_without_an_answer_the_run_goes_on_when_the_time_is_over(
    start: Start, client: AirflowClient, experiment: str
) -> None:
    settings = yaml.safe_load(Path(experiment).read_text())
    settings["review"]["hours"] = 20 / 3600
    hasty = Path(experiment).with_name("hasty.yaml")
    hasty.write_text(yaml.safe_dump(settings))
    run = start("hasty", experiment=str(hasty))
    wait_until(lambda: instances(client, "hasty").get(TASK) == "awaiting_input", 600)
    wait_until(lambda: instances(client, "hasty").get(MERGE) == "success", 600)
    assert review.close(run, 1) == []
    wait_for_end(client, "hasty")  # Airflow is free for the next
