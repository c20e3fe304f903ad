"""The routes, in Airflow's own server, with its own login and its own rights."""

import io
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.plugins.review.conftest import POOL, Site, decisions

from boxloop import review, storage
from boxloop.data.dataset import read_dataset

pytestmark = pytest.mark.slow
READ = ["", "/rounds", "/rounds/1/queue", "/rounds/1/decisions", "/rounds/1/image?{first}"]
FIRST = "scene_00000.jpg"
NOT_ASKED = "this image is not in the queue"
SKIP = {"image_id": FIRST, "action": "skip", "boxes": [], "seconds": 1.5}


def ask(site: Site, path: str, user: str | None = "uma", **headers: str) -> httpx.Response:
    path = site.page + path.format(first=f"image_id={FIRST}&size=crop")
    headers |= {"Authorization": f"Bearer {site.login(user)}"} if user else {}
    return httpx.get(site.url + path, headers=headers, trust_env=False, timeout=30)


def tell(site: Site, answer: Any, user: str | None = "uma", **headers: str) -> httpx.Response:
    headers |= {"Authorization": f"Bearer {site.login(user)}"} if user else {}
    url = f"{site.url}{site.page}/rounds/1/decisions"
    return httpx.post(url, json=answer, headers=headers, trust_env=False, timeout=30)


def item(site: Site, image_id: str = FIRST) -> dict[str, Any]:
    items = ask(site, "/rounds/1/queue").json()["items"]
    return dict(next(each for each in items if each["image_id"] == image_id))


def proposal(site: Site) -> dict[str, Any]:
    found = item(site)
    return {"class_name": found["class_name"], **found["box"]}


@pytest.mark.parametrize("path", READ)
def test_nothing_is_told_without_a_login(site: Site, path: str) -> None:
    answer = ask(site, path, None)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Not authenticated"})


def test_not_even_a_script_is_given_without_a_login(site: Site) -> None:
    url = f"{site.url}/boxloop-review/static/review.js"
    assert httpx.get(url, trust_env=False).status_code == 401


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize("user", ["uma", "vic"])
def test_who_may_see_the_run_may_see_its_review(site: Site, path: str, user: str) -> None:
    assert ask(site, path, user).status_code == 200


def test_a_forged_token_is_refused(site: Site) -> None:
    token = site.login("uma")[:-4] + "AAAA"
    url = f"{site.url}{site.page}/rounds"
    answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    assert answer.status_code == 403


@pytest.mark.parametrize(("user", "status"), [(None, 401), ("vic", 403)])
def test_deciding_takes_the_right_to_answer_waiting_tasks(
    fresh: Site, user: str | None, status: int
) -> None:
    assert tell(fresh, SKIP, user).status_code == status
    assert decisions(fresh.run) == []


def test_the_page_knows_who_looks_and_what_they_may_do(site: Site) -> None:
    rounds = [{"number": 1, "map_index": 0, "is_closed": False}]  # 2 has no queue
    said = [ask(site, "/rounds", user).json() for user in ("uma", "vic")]
    assert said == [
        {"rounds": rounds, "author": "uma", "may_decide": True},
        {"rounds": rounds, "author": "vic", "may_decide": False},
    ]


def test_a_decision_is_of_the_user_who_is_logged_in(fresh: Site) -> None:
    answer = tell(fresh, SKIP)
    assert answer.status_code == 200
    assert answer.json()["progress"]["by_author"] == {"uma": {"done": 0, "seconds": 1.5}}
    (decision,) = decisions(fresh.run)
    assert (decision["author"], decision["image_id"], decision["round"]) == ("uma", FIRST, 1)


@pytest.mark.parametrize("name", ["author", "decided_at", "round", "run_uri"])
def test_what_is_not_the_pages_to_say_is_refused(fresh: Site, name: str) -> None:
    assert tell(fresh, {**SKIP, name: "x"}).status_code == 422
    assert decisions(fresh.run) == []


def test_accepting_records_the_proposed_box(fresh: Site) -> None:
    boxes = [proposal(fresh)]
    assert tell(fresh, {**SKIP, "action": "accept", "boxes": boxes}).status_code == 200
    standing = ask(fresh, "/rounds/1/decisions").json()["standing"][FIRST]
    assert (standing["action"], standing["boxes"]) == ("accept", boxes)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param({"image_id": "../../etc/passwd"}, "not in the queue", id="other image"),
        pytest.param({"action": "delete"}, "Input should be", id="unknown action"),
        pytest.param({"seconds": -1}, "seconds", id="negative time"),
        pytest.param({"action": "correct"}, "at least one box", id="no box"),
    ],
)
def test_senseless_answers_are_refused(fresh: Site, said: dict[str, Any], reason: str) -> None:
    answer = tell(fresh, SKIP | said)
    assert answer.status_code == 422
    assert reason in answer.text
    assert decisions(fresh.run) == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param({"xmax": 9999.0}, "leaves its image", id="outside"),
        pytest.param({"xmin": 0.0, "xmax": 0.0}, "empty", id="empty"),
        pytest.param({"class_name": "unicorn"}, "unknown to the label map", id="unknown class"),
    ],
)
def test_senseless_boxes_are_refused(fresh: Site, said: dict[str, Any], reason: str) -> None:
    boxes = [proposal(fresh) | said]
    answer = tell(fresh, {**SKIP, "action": "correct", "boxes": boxes})
    assert answer.status_code == 422
    assert reason in answer.text
    assert decisions(fresh.run) == []


def test_a_time_that_is_no_number_is_refused(fresh: Site) -> None:
    url = f"{fresh.url}{fresh.page}/rounds/1/decisions"
    headers = {
        "Authorization": f"Bearer {fresh.login('uma')}",
        "Content-Type": "application/json",
    }
    body = '{"image_id": "scene_00000.jpg", "action": "skip", "seconds": NaN}'
    answer = httpx.post(url, content=body, headers=headers, trust_env=False)
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="other site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, id="neighbouring host"),
        pytest.param({"Origin": "https://evil.example"}, id="plain HTTP"),
        pytest.param({"Origin": "null"}, id="sandboxed frame"),
    ],
)
def test_another_sites_page_cannot_decide(fresh: Site, headers: dict[str, str]) -> None:
    assert tell(fresh, SKIP, **headers).status_code == 403
    assert decisions(fresh.run) == []


def test_this_sites_page_can(fresh: Site) -> None:
    assert tell(fresh, SKIP, **{"Origin": fresh.url}).status_code == 200
    assert tell(fresh, SKIP, **{"Origin": "x://y", "Sec-Fetch-Site": "same-origin"}).is_success


def test_a_form_of_another_site_cannot_decide(fresh: Site) -> None:
    url = f"{fresh.url}{fresh.page}/rounds/1/decisions"
    headers = {"Content-Type": "text/plain", "Authorization": f"Bearer {fresh.login('uma')}"}
    body = '{"image_id": "scene_00000.jpg", "action": "skip", "boxes": [], "seconds": 1}'
    answer = httpx.post(url, content=body, headers=headers, trust_env=False)
    assert answer.status_code == 415
    assert decisions(fresh.run) == []


def test_an_answer_that_is_sent_again_counts_once(fresh: Site) -> None:
    for is_repeat in (False, True, True):
        assert tell(fresh, {**SKIP, "is_repeat": is_repeat}).status_code == 200
    assert len(decisions(fresh.run)) == 1
    assert tell(fresh, {**SKIP, "seconds": 2.5, "is_repeat": True}).status_code == 200
    assert len(decisions(fresh.run)) == 2  # another answer, that had not arrived


def test_an_answer_after_the_merge_is_refused(fresh: Site) -> None:
    review.close(fresh.run, 1)
    answer = tell(fresh, SKIP)
    assert answer.status_code == 409
    assert "review of round 1 is closed" in answer.json()["detail"]


def test_rounds_that_ask_nobody_and_other_runs_have_no_review(site: Site) -> None:
    assert ask(site, "/rounds/2/queue").status_code == 404
    other = site.page.replace("active_learning", "other")
    headers = {"Authorization": f"Bearer {site.login('uma')}"}
    answer = httpx.get(f"{site.url}{other}/rounds", headers=headers, trust_env=False)
    assert answer.json()["rounds"] == []


def test_only_images_of_the_queue_are_shown(site: Site) -> None:
    boxed = read_dataset(site.run.dataset(1)).split("train")["image_id"].iloc[0]
    for image_id in (boxed, "../../../etc/passwd", "%2Fetc%2Fpasswd", ""):
        answer = ask(site, f"/rounds/1/image?image_id={image_id}&size=view")
        assert (answer.status_code, answer.json()["detail"]) == (404, NOT_ASKED)


@pytest.mark.parametrize(("size", "side"), [("view", 256), ("crop", 240)])
def test_images_are_jpegs_that_no_browser_takes_for_more(site: Site, size: str, side: int) -> None:
    answer = ask(site, f"/rounds/1/image?image_id={FIRST}&size={size}")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert max(Image.open(io.BytesIO(answer.content)).size) <= side


def test_a_browser_asks_for_an_image_again_and_gets_it_once(site: Site) -> None:
    path = f"/rounds/1/image?image_id={FIRST}&size=view"
    first = ask(site, path)
    again = ask(site, path, **{"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == "private, no-cache"
    assert ask(site, path, None, **{"If-None-Match": first.headers["etag"]}).status_code == 401


def test_an_image_that_vanished_is_told(fresh: Site) -> None:
    image_id, uri = review.read_review(fresh.run, 1).images[["image_id", "uri"]].iloc[-1]
    data = storage.read_bytes(uri)
    storage.delete(uri)
    answer = ask(fresh, f"/rounds/1/image?image_id={image_id}&size=view")
    storage.write_bytes(uri, data)
    assert answer.status_code == 422
    assert answer.json()["detail"] == "the image cannot be read (FileNotFoundError)"


def test_every_answer_forbids_other_hosts_and_scripts(site: Site) -> None:
    for user in ("uma", None):
        policy = ask(site, "", user).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "http" not in policy


def test_the_queue_is_told_in_its_order(site: Site) -> None:
    said = ask(site, "/rounds/1/queue").json()
    queue = review.read_review(site.run, 1).queue
    assert [each["image_id"] for each in said["items"]] == queue["image_id"].tolist()
    assert len(said["items"]) == POOL
    assert item(site)["box"]["xmin"] == queue["xmin"].iloc[0]
