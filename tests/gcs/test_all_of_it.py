"""Inbox, library, champion, rollback and the pages' pictures, all on gs://, by the real functions.

The bucket enforces preconditions, and one request in fifty fails.
"""

from pathlib import Path
from typing import Any

import pytest
from tests.faulty_bucket import FaultyBucket
from tests.nights import Nights, box
from tests.test_champion import RULE, finished

from boxloop import champion, nightly, promotion, rollback, storage
from boxloop.artifacts import Run
from boxloop.data.dataset import read_dataset
from boxloop_airflow.rounds_page import examples, figures, state

pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.slow]
ROOT: Any = "gs://bucket/root"  # where helpers of other tests take a folder


@pytest.fixture
def shaky(faulty: FaultyBucket) -> FaultyBucket:
    """A bucket that fails now and then, before and after what it is asked for."""
    for kind in ("status", "late_status", "cut_after", "cut_answer"):
        faulty.strike(kind, r"GET|POST|PUT|DELETE", rate=0.005, count=-1)
    return faulty


def test_a_champion_is_made_defended_and_set_back(shaky: FaultyBucket) -> None:
    worse, better = finished(ROOT, "worse", 0.0), finished(ROOT, "better")
    options: dict[str, Any] = {"root": ROOT, "name": "night", "config": RULE, "by": "me"}
    assert promotion.promote(worse.uri, **options)["is_promoted"]
    first = promotion.promote(better.uri, **options)
    assert first["is_promoted"]
    assert promotion.promote(better.uri, **options) == first  # decided once
    assert [record["number"] for record in champion.history(ROOT, "night")] == [1, 2]
    champion.roll_back(ROOT, "night", to=1, by="me")
    current = champion.current(ROOT, "night")
    assert current is not None
    assert current["run_uri"] == worse.uri
    assert sum(fault.struck for fault in shaky.faults) > 5


def test_nights_take_in_from_an_inbox_into_a_library(shaky: FaultyBucket, tmp_path: Path) -> None:
    class InBucket(Nights):
        def try_out(self, name: str) -> None:
            storage.write_json(f"{ROOT}/experiments/{name}/promotion/decision.json", {})

    nights = InBucket(tmp_path)
    nights.root = ROOT
    nights.arrive("a.png", 1, [box()])
    nights.arrive("king/b.png", 2)
    nights.put("images/broken.png", b"no picture")
    storage.upload_folder(nights.inbox, "gs://bucket/inbox")
    nights.set(inbox="gs://bucket/inbox")
    value = nights.take_in("first")
    assert (value["taken"], value["refused"]) == (2, 1)
    images = read_dataset(value["overrides"]["data.version"]).images
    kept = images.loc[images["image_id"].isin(["a.png", "king/b.png"]), "uri"]
    assert all(uri.startswith(f"{ROOT}/") for uri in kept)
    assert {storage.digest(uri) for uri in kept} <= set(images["sha256"])
    nights.try_out("first")
    assert not nights.take_in("second")["goes_on"]
    nightly.undo(nights.night("undo by me"), 1)
    assert not nights.take_in("third")["goes_on"]


def test_a_round_is_reported_shown_and_undone(shaky: FaultyBucket) -> None:
    run = finished(ROOT, "shown")
    assert state.has_report(run) is False
    found = figures.figures(run, (("evaluated", "merged"),), 1, figures.settings_digest(run))
    assert [row["number"] for row in found["rounds"]] == [1]
    shown = examples.build_examples(run, 1, "stamp")
    assert any(picture["picture"] for picture in shown["adopted"])
    assert rollback.rollback(run.uri, 1)["rounds"] == [1]
    assert rollback.started_rounds(Run(run.uri)) == []
