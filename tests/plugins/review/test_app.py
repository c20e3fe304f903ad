"""The routes, in Airflow's own server, with its own login and its own rights."""

import io
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.plugins.review.conftest import POOL, Site, decisions
from tests.plugins.review.runs import CROWDED, OTHERS

from boxloop import review, storage
from boxloop.data.dataset import from_parquet, read_dataset, to_parquet

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
    digest = storage.digest(site.run.queue(1))
    answer = {"token": secrets.token_hex(4), "queue": digest, **answer}
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
    assert httpx.get(url, trust_env=False, timeout=30).status_code == 401


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize("user", ["uma", "vic"])
def test_who_may_see_the_run_may_see_its_review(site: Site, path: str, user: str) -> None:
    assert ask(site, path, user).status_code == 200


def test_a_forged_token_is_refused(site: Site) -> None:
    token = site.login("uma")[:-4] + "AAAA"
    url = f"{site.url}{site.page}/rounds"
    answer = httpx.get(
        url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=30
    )
    assert answer.status_code == 403


@pytest.mark.parametrize(("user", "status"), [(None, 401), ("vic", 403)])
def test_deciding_takes_the_right_to_answer_waiting_tasks(
    fresh: Site, user: str | None, status: int
) -> None:
    assert tell(fresh, SKIP, user).status_code == status
    assert decisions(fresh.run) == []


def test_the_page_knows_who_looks_and_what_they_may_do(site: Site) -> None:
    rounds = [{"number": 1, "map_index": 1, "is_closed": False}]  # 2 has no queue
    said = [ask(site, "/rounds", user).json() for user in ("uma", "vic")]
    assert said == [
        {"rounds": rounds, "author": "uma", "may_decide": True, "is_elsewhere": False},
        {"rounds": rounds, "author": "vic", "may_decide": False, "is_elsewhere": False},
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
    answer = httpx.post(url, content=body, headers=headers, trust_env=False, timeout=30)
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
    answer = httpx.post(url, content=body, headers=headers, trust_env=False, timeout=30)
    assert answer.status_code == 415
    assert decisions(fresh.run) == []


def test_an_answer_that_is_sent_again_counts_once(fresh: Site) -> None:
    for token in ("0000000a", "0000000a", "0000000b"):
        assert tell(fresh, {**SKIP, "token": token}).status_code == 200
    assert len(decisions(fresh.run)) == 2
    undo = {**SKIP, "action": "undo", "token": "0000000c"}
    assert tell(fresh, undo).status_code == 200
    tell(fresh, {**SKIP, "action": "reject"}, "anna")
    assert tell(fresh, undo).status_code == 200  # it arrived before anna's
    assert [one["action"] for one in decisions(fresh.run)] == ["skip", "skip", "undo", "reject"]


def test_an_answer_that_comes_twice_at_once_counts_once(fresh: Site) -> None:
    answer = {**SKIP, "token": "0000000d"}
    with ThreadPoolExecutor(4) as pool:
        assert [one.status_code for one in pool.map(tell, [fresh] * 4, [answer] * 4)] == [200] * 4
    assert len(decisions(fresh.run)) == 1


def test_nobody_takes_back_what_another_decided(fresh: Site) -> None:
    tell(fresh, {**SKIP, "action": "reject"})
    answer = tell(fresh, {**SKIP, "action": "undo"}, "anna")
    assert (answer.status_code, "uma has decided" in answer.json()["detail"]) == (409, True)
    assert len(decisions(fresh.run)) == 1


def test_an_answer_to_another_queue_is_refused(fresh: Site) -> None:
    answer = tell(fresh, {**SKIP, "queue": "0" * 64})
    assert (answer.status_code, "other boxes are proposed" in answer.json()["detail"]) == (
        409,
        True,
    )
    assert ask(fresh, "/rounds/1/queue").json()["digest"] == storage.digest(fresh.run.queue(1))
    assert decisions(fresh.run) == []


def test_an_answer_waits_for_the_login_of_its_author(fresh: Site) -> None:
    assert tell(fresh, SKIP, "anna", **{"X-Boxloop-Author": "uma"}).status_code == 412
    assert decisions(fresh.run) == []
    assert tell(fresh, SKIP, "uma", **{"X-Boxloop-Author": "uma"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b" " * (2**20 + 1), 413, id="too large"),
        pytest.param([b"{}"], 413, id="no length"),
        pytest.param(b"{}", 401, id="small"),
    ],
)
def test_a_body_is_measured_before_it_is_read(site: Site, body: Any, status: int) -> None:
    url = f"{site.url}{site.page}/rounds/1/decisions"
    content = iter(body) if isinstance(body, list) else body
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(url, content=content, headers=headers, trust_env=False, timeout=30)
    assert answer.status_code == status


@pytest.mark.parametrize("extra", ['"x": NaN', '"x": "\\ud800"', '"\\ud800": 1'])
def test_what_cannot_be_repeated_as_json_is_refused_all_the_same(fresh: Site, extra: str) -> None:
    url = f"{fresh.url}{fresh.page}/rounds/1/decisions"
    headers = {
        "Authorization": f"Bearer {fresh.login('uma')}",
        "Content-Type": "application/json",
    }
    body = f'{{"image_id": "{FIRST}", "action": "skip", "seconds": 1, {extra}}}'
    answer = httpx.post(url, content=body, headers=headers, trust_env=False, timeout=30)
    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_only_what_lies_below_the_data_is_shown(fresh: Site) -> None:
    uri = f"{fresh.run.dataset(1)}/images.parquet"
    kept, queue = storage.read_bytes(uri), storage.read_bytes(fresh.run.queue(1))
    images = from_parquet(kept)
    asked = review.read_review(fresh.run, 1).queue["image_id"]
    outside = str(Path(fresh.run.uri).parent / "private.png")
    Image.new("RGB", (9, 9)).save(outside)
    data = str(Path(fresh.run.uri).parent / "data")
    Path(f"{data}/link.png").symlink_to(outside)
    places = [outside, "/etc/passwd", "gs://nobody/x", f"{data}/../private.png", f"{data}/link.png"]
    for image_id, place in zip(asked, places, strict=False):
        images.loc[images["image_id"] == image_id, "uri"] = place
    storage.write_bytes(uri, to_parquet(images))
    altered = from_parquet(queue).assign(value=0.5)  # for what is kept of the queue
    storage.write_bytes(fresh.run.queue(1), to_parquet(altered))
    try:
        for image_id in asked[: len(places)]:
            answer = ask(fresh, f"/rounds/1/image?image_id={image_id}&size=view")
            assert (answer.status_code, answer.json()["detail"]) == (404, NOT_ASKED)
        image_id = asked[len(places)]
        assert ask(fresh, f"/rounds/1/image?image_id={image_id}&size=view").status_code == 200
    finally:
        storage.write_bytes(uri, kept)
        storage.write_bytes(fresh.run.queue(1), queue)


def test_boxes_that_stand_beside_the_proposed_one_are_told(site: Site) -> None:
    items = ask(site, "/rounds/1/queue").json()["items"]
    assert items[CROWDED]["others"] == OTHERS
    assert [each for each in items if each["others"]] == [items[CROWDED]]


def test_where_a_box_is_to_be_drawn_none_is_proposed(site: Site) -> None:
    items = ask(site, "/rounds/1/queue").json()["items"]
    drawn = [each for each in items if each["action"] == "draw"]
    assert {each["class_name"] is None for each in drawn} == {True, False}
    assert [each["box"] for each in drawn] == [None] * len(drawn)


def test_an_answer_after_the_merge_is_refused(fresh: Site) -> None:
    review.close(fresh.run, 1)
    answer = tell(fresh, SKIP)
    assert answer.status_code == 409
    assert "review of round 1 is closed" in answer.json()["detail"]


def test_rounds_that_ask_nobody_and_other_runs_have_no_review(site: Site) -> None:
    assert ask(site, "/rounds/2/queue").status_code == 404
    other = site.page.replace("active_learning", "other")
    headers = {"Authorization": f"Bearer {site.login('uma')}"}
    answer = httpx.get(f"{site.url}{other}/rounds", headers=headers, trust_env=False, timeout=30)
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
    assert answer.json()["detail"] == "the image cannot be read"


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
