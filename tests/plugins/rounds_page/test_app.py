"""The routes, in Airflow's own server, with its own login and its own rights."""

import httpx
import pytest
from tests.plugins.rounds_page.conftest import DAG, LONG, Site
from tests.plugins.rounds_page.runs import HIDDEN, STRANGER

from boxloop import storage

pytestmark = pytest.mark.slow
READ = ["", "/state", "/rounds/2/examples", "/report"]
OF_ARTIFACTS = ["/rounds/2/examples", "/report"]


@pytest.mark.parametrize("path", READ)
def test_nothing_is_told_without_a_login(site: Site, path: str) -> None:
    answer = site.ask(site.page("done") + path, None)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Not authenticated"})


@pytest.mark.parametrize(
    "path", ["experiments", "experiments/list", "static/rounds.js", "static/rounds.css"]
)
def test_not_even_a_script_or_a_list_is_given_without_a_login(site: Site, path: str) -> None:
    assert site.ask(f"/boxloop-rounds/{path}", None).status_code == 401
    assert site.ask(f"/boxloop-rounds/{path}", "vic").status_code == 200


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize("user", ["uma", "vic"])
def test_who_may_see_the_run_may_see_its_rounds(site: Site, path: str, user: str) -> None:
    assert site.ask(site.page("done") + path, user).status_code == 200


@pytest.mark.parametrize("path", READ)
def test_who_has_no_right_to_the_dag_sees_nothing_of_it(site: Site, path: str) -> None:
    assert site.ask(site.page("hidden", HIDDEN) + path, STRANGER).status_code == 403
    assert site.ask(site.page("hidden", HIDDEN) + path, "vic").status_code == 200


def test_the_list_leaves_out_what_a_user_may_not_see_and_other_dags(site: Site) -> None:
    def listed(user: str) -> set[tuple[str, str]]:
        found = site.ask("/boxloop-rounds/experiments/list", user).json()["experiments"]
        return {(each["dag_id"], each["run_id"]) for each in found}

    assert listed("vic") - listed(STRANGER) == {(HIDDEN, "hidden")}
    assert (DAG, "done") in listed(STRANGER)
    assert not any(dag == "other" for dag, _ in listed("vic"))


@pytest.mark.parametrize("path", OF_ARTIFACTS)
@pytest.mark.parametrize("run_id", ["outside", "fresh", "nothing"])
def test_no_file_is_served_of_a_run_outside_the_served_roots(
    site: Site, path: str, run_id: str
) -> None:
    assert site.ask(site.page(run_id) + path).status_code == 404


def test_of_a_run_elsewhere_airflows_own_facts_are_told_and_no_figure(site: Site) -> None:
    told = site.state("outside")
    assert (told["is_elsewhere"], told["figures"], told["has_report"]) == (True, None, False)
    assert len(told["rows"]) == 9


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/rounds/0/examples", 404),
        ("/rounds/3/examples", 404),
        ("/rounds/-1/examples", 404),
        ("/rounds/x/examples", 422),
        ("/rounds/99999999999999999999999/examples", 404),
        ("/rounds/..%2f..%2f1/examples", 404),
        (f"/state?known={'x' * 65}", 422),
    ],
)
def test_senseless_addresses_are_refused(site: Site, path: str, status: int) -> None:
    assert site.ask(site.page("done") + path).status_code == status


@pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "app.py", ""])
def test_no_other_file_than_those_of_the_page_is_served(site: Site, name: str) -> None:
    assert site.ask(f"/boxloop-rounds/static/{name}").status_code == 404


def test_a_run_that_is_not_there_is_not_found(site: Site) -> None:
    assert site.ask(f"{site.page('nothing')}/state").status_code == 404
    assert site.ask(f"{site.page('done', '~')}/state").status_code == 404


def test_the_page_may_load_from_its_own_host_alone_and_the_report_runs_nothing(site: Site) -> None:
    page = site.ask(site.page("done")).headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:" in page
    report = site.ask(f"{site.page('done')}/report")
    assert "sandbox;" in report.headers["content-security-policy"]
    assert "script-src" not in report.headers["content-security-policy"]
    assert "<h1>The report</h1>" in report.text


@pytest.mark.parametrize(
    ("user", "headers", "status"),
    [
        pytest.param(None, {}, 401, id="no login"),
        pytest.param("vic", {}, 403, id="viewer"),
        pytest.param("uma", {"Sec-Fetch-Site": "cross-site"}, 403, id="another site"),
        pytest.param("uma", {"Origin": "https://evil.example"}, 403, id="another origin"),
        pytest.param("uma", {"Content-Type": "text/plain"}, 415, id="a form"),
    ],
)
def test_who_may_not_clear_tasks_may_not_rerun_and_no_other_site_may(
    site: Site, user: str | None, headers: dict[str, str], status: int
) -> None:
    before = storage.list_files(site.run("done").uri)
    answer = site.tell(f"{site.page('done')}/rerun", {"from_round": 1}, user, **headers)
    assert answer.status_code == status
    assert storage.list_files(site.run("done").uri) == before


def test_rerunning_takes_the_right_to_that_dag(site: Site) -> None:
    address = f"{site.page('hidden', HIDDEN)}/rerun"
    assert site.tell(address, {"from_round": 1}, STRANGER).status_code == 403


@pytest.mark.parametrize(
    ("run_id", "value", "status"),
    [
        ("done", {"from_round": 0}, 422),
        ("done", {"from_round": 3}, 404),
        ("done", {"from_round": "1"}, 422),
        ("done", {"from_round": True}, 422),
        ("done", {"from_round": 1, "run_uri": "/"}, 422),
        ("done", [], 422),
        ("done", {"from_round": 1, "x": "y" * 1000}, 413),
        ("outside", {"from_round": 1}, 404),
        ("fresh", {"from_round": 1}, 404),
    ],
)
def test_a_senseless_rerun_is_refused(site: Site, run_id: str, value: object, status: int) -> None:
    assert site.tell(f"{site.page(run_id)}/rerun", value).status_code == status
    assert storage.exists(site.run("done").summary(1))


def test_the_page_knows_who_may_rerun(site: Site) -> None:
    told = [site.ask(f"{site.page('done')}/state", user).json() for user in ("uma", "vic")]
    assert [each["may_rerun"] for each in told] == [True, False]


def test_nothing_is_rerun_while_one_of_its_tasks_is_at_work(site: Site) -> None:
    answer = site.tell(f"{site.page(LONG)}/rerun", {"from_round": 50})
    assert answer.status_code == 409
    assert "train of round 50 (running)" in answer.json()["detail"]
    assert storage.exists(site.run("long").summary(49))


def test_nothing_is_rerun_under_another_run_of_the_same_experiment(site: Site) -> None:
    answer = site.tell(f"{site.page('same-as-long')}/rerun", {"from_round": 49})
    assert answer.status_code == 409
    assert f"of the run {DAG}, {LONG}, of the same experiment: " in answer.json()["detail"]
    assert storage.exists(site.run("long").summary(49))


def test_rounds_that_a_run_does_not_plan_are_not_undone_from_it(site: Site) -> None:
    answer = site.tell(f"{site.page('two')}/rerun", {"from_round": 2})
    assert answer.status_code == 409
    assert "round 3 of its experiment has begun in the run active_learning, three;" in answer.text
    assert storage.exists(site.run("shared").summary(3))
    answer = site.tell(f"{site.page('three')}/rerun", {"from_round": 3})
    assert answer.json()["rounds"] == [3]


def test_nothing_is_rerun_while_a_task_that_was_marked_as_failed_may_still_write(
    site: Site,
) -> None:
    answer = site.tell(f"{site.page('ending')}/rerun", {"from_round": 2})
    assert answer.status_code == 409
    assert "still ending: " in answer.json()["detail"]
    assert storage.exists(site.run("ending").summary(2))


def test_a_rerun_moves_rounds_aside_and_clears_their_tasks_and_the_report(site: Site) -> None:
    run = site.run("redo")
    answer = site.tell(f"{site.page('redo')}/rerun", {"from_round": 2})
    assert answer.json() == {
        "rounds": [2],
        "kept_in": f"{run.uri}/rolled_back/1",
        "cleared": 10,
    }
    assert (storage.exists(run.summary(1)), storage.exists(run.summary(2))) == (True, False)
    told = site.state("redo")
    states = [[cell["state"] for cell in row["cells"]] for row in told["rows"]]
    assert states == [["success", "none"]] * 9
    assert [each["cell"]["state"] for each in told["singles"]] == ["success", "none"]
    assert told["run"]["state"] == "queued"
    assert [each["number"] for each in told["figures"]["rounds"]] == [1]
    again = site.tell(f"{site.page('redo')}/rerun", {"from_round": 2})
    assert again.json() == {"rounds": [], "kept_in": None, "cleared": 0}


def test_a_rerun_that_was_cut_off_is_told_and_finished_by_the_same(site: Site) -> None:
    run = site.run("redo")
    journal = {"round": 1, "rounds": [1], "is_finished": False}
    storage.write_json(f"{run.uri}/rolled_back/2/rollback.json", journal)
    other = site.tell(f"{site.page('redo')}/rerun", {"from_round": 2})
    assert other.status_code == 409
    assert site.state("redo")["unfinished"] == 1
    assert "finish it first" in other.json()["detail"]
    assert site.tell(f"{site.page('redo')}/rerun", {"from_round": 1}).json()["rounds"] == [1]
    assert site.state("redo")["unfinished"] is None
    assert not storage.exists(run.summary(1))


def test_a_rerun_is_in_airflows_audit_log(site: Site) -> None:
    site.tell(f"{site.page('done')}/rerun", {"from_round": 3})  # refused, and written down
    headers = {"Authorization": f"Bearer {site.login('anna')}"}
    url = f"{site.url}/api/v2/eventLogs?event=rerun_rounds&dag_id={DAG}"
    found = httpx.get(url, headers=headers, trust_env=False, timeout=30).json()["event_logs"]
    assert {(each["owner"], each["run_id"]) for each in found} >= {("uma", "done")}


def test_what_has_not_changed_is_not_sent_again(site: Site) -> None:
    address = f"{site.page('done')}/state"
    first = site.ask(address)
    again = site.ask(address, **{"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    stamp = first.json()["stamp"]
    known = site.state("done", known=stamp)
    assert (known["figures"], known["stamp"]) == (None, stamp)


def test_fifty_rounds_of_twelve_tasks_are_told(site: Site) -> None:
    told = site.state(LONG)  # in how long: benchmarks/rounds_page.py
    assert sum(len(row["cells"]) for row in told["rows"]) == 50 * 12
    assert len(told["figures"]["rounds"]) == 49


def test_one_unreadable_file_leaves_the_tasks_and_is_read_again(site: Site) -> None:
    told = site.state("mended")
    assert (told["figures"], told["stamp"], told["has_report"]) == (None, "", True)
    assert "round_02/summary.json is no JSON" in told["unreadable"]
    assert (len(told["rows"]), len(told["times"])) == (9, 2)
    good = storage.read_bytes(site.run("done").summary(2))
    storage.write_bytes(site.run("mended").summary(2), good)
    told = site.state("mended")
    assert (told["unreadable"], len(told["figures"]["rounds"])) == ("", 2)


def test_examples_that_cannot_be_read_say_why(site: Site) -> None:
    evaluation = site.run("broken").evaluation(2)
    storage.write_bytes(evaluation, b"{")
    answer = site.ask(f"{site.page('broken')}/rounds/2/examples")
    assert answer.status_code == 503
    assert "it cannot be read: " in answer.json()["detail"]


def test_an_experiment_is_listed_with_what_it_came_to(site: Site) -> None:
    found = site.ask("/boxloop-rounds/experiments/list").json()["experiments"]
    by_run = {each["run_id"]: each for each in found}
    assert found[0]["run_id"] == LONG  # the newest
    long = by_run[LONG]
    assert (long["state"], long["rounds"], long["done"]) == ("running", 50, 49)
    last = storage.read_json(site.run("long").summary(49))["map50"]
    assert long["map50"] == pytest.approx(last)
    assert (by_run["fresh"]["rounds"], by_run["fresh"]["map50"]) == (None, None)


def test_pictures_show_what_was_found_and_come_from_the_data_alone(site: Site) -> None:
    shown = site.ask(f"{site.page('done')}/rounds/2/examples").json()
    assert [len(shown[kind]) for kind in ("tested", "adopted")] == [6, 6]
    pictures = [each for kind in shown.values() for each in kind]
    assert all(each["picture"].startswith("data:image/jpeg;base64,") for each in pictures)
    missed = [each for each in shown["tested"] if each["words"] == "not all right"]
    assert [[box["score"] for box in each["boxes"]] for each in missed] == [[None]]


def test_why_rounds_were_skipped_is_told(site: Site) -> None:
    told = site.state("early")
    gates = next(row for row in told["rows"] if row["name"] == "gate")["cells"]
    assert [cell["state"] for cell in gates] == ["success", "success", "skipped", "skipped"]
    assert told["figures"]["stop"] == "every image of the pool has a box: round 2 asked about none"


def test_a_running_task_tells_how_far_it_is(site: Site) -> None:
    (told,) = site.state(LONG)["progress"]
    assert told == {
        "name": "train",
        "round": 50,
        "step": 400,
        "steps": 1000,
        "loss": 0.4321,
        "rate": 20.0,
        "left": 600 * 4 / 20,  # steps of a batch of 4
    }
