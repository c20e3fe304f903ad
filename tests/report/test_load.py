import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.report.event_file import write_evaluation_events
from boxloop.report.load import write_report

MakeRun = Callable[..., Run]


def _page(run: Run) -> str:
    write_report(run.uri)
    return Path(run.report).read_text()


def test_a_report_is_a_page_and_a_summary(make_run: MakeRun) -> None:
    run = make_run()
    expected = {"report_uri": run.report, "summary_uri": run.report_summary, "rounds": 2}
    assert write_report(run.uri) == expected


def test_the_summary_has_exactly_these_figures(make_run: MakeRun) -> None:
    run = make_run()
    write_report(run.uri)
    seconds = {"train": 60.0, "predict": 30.0, "merge": 5.0}
    first = {"round": 1, "training_images": 2, "adopted": 2, "adoption_precision": 0.5}
    second = {"round": 2, "training_images": 4, "adopted": 1, "adoption_precision": 1.0}
    older = {"withdrawn": 0, "reviewed": 0, "growth": [], "class_mix": None}
    scores = [
        {"map50": value, "ap50_per_class": {"pip": value, "tock": None}, "seconds": seconds}
        for value in (0.25, 0.5)
    ]
    assert json.loads(Path(run.report_summary).read_text()) == {
        "experiment_id": "trial",
        "model": "tiny",
        "rounds": [first | scores[0] | older, second | scores[1] | older],
        "total_seconds": 300.0,  # from 1200 to 1495 + 5
        "stopped_early": True,
        "stop": "round 2 trained on 4 images; the limit is 4 (stop.images)",
        # one round left, and two took 60 s + 30 s + 5 s each
        "rest": {"rounds": 1, "seconds": 95.0, "estimated_from": 2},
        "times": {
            "train": 120.0,
            "predict": 60.0,
            "rest": 10.0,
            "between": 110.0,  # no task ran
            "people": 0.0,
        },
    }


def test_the_page_tells_the_run(make_run: MakeRun) -> None:
    page = _page(make_run())
    for text in (
        "0.250 → 0.500",
        "2 → 4",
        "66.7\N{NO-BREAK SPACE}%",  # two of the three adopted boxes
        "5 min 00 s",
        "stopped after round 2: round 2 trained on 4 images; the limit is 4 (stop.images).",
        "The 1 round that did not run would have taken about 1 min 35 s: an estimate",
        "nothing detected",
        "cannot be decoded",
        "a difference of 5 points",  # 100 images: 100 x 0.5 / 10
        "oracle.by: none",
    ):
        assert text in page


@pytest.mark.parametrize("unknown", [(1, 2), (1,), (2,)])
def test_a_round_without_an_map_has_a_dash(make_run: MakeRun, unknown: tuple[int, ...]) -> None:
    run = make_run(evaluated=(1, 2))
    for number in unknown:
        lost = {"map50": None, "map50_interval": None, "map50_change_interval": None}
        storage.write_json(run.evaluation(number), storage.read_json(run.evaluation(number)) | lost)
        storage.write_json(run.summary(number), storage.read_json(run.summary(number)) | lost)
    second = storage.read_json(run.summary(2)) | {"parent_digest": storage.digest(run.summary(1))}
    storage.write_json(run.summary(2), second)
    shown = ["\N{EN DASH}" if number in unknown else f"{number / 4:.3f}" for number in (1, 2)]
    page = _page(run)
    assert " → ".join(shown) in page
    assert "no true box was there to be found" in page
    write_evaluation_events(run.uri, 2)


def test_the_page_needs_nothing_from_elsewhere(make_run: MakeRun) -> None:
    page = _page(make_run())
    assert not re.findall(r"(?:src|href)=\"(?!data:image/jpeg;base64,)", page)
    assert "<script" not in page
    assert set(re.findall(r"https?://[^\"]*", page)) == {"http://www.w3.org/2000/svg"}


def test_adopted_boxes_are_drawn_where_they_are_and_wrong_ones_marked(make_run: MakeRun) -> None:
    page = _page(make_run())
    assert 'viewBox="0 0 400 300"' in page
    assert 'x="10.0" y="10.0" width="40.0" height="40.0"' in page
    assert page.count("· wrong") == 1


def test_an_unreadable_image_keeps_its_place(make_run: MakeRun) -> None:
    assert _page(make_run()).count("this image cannot be read") == 1  # p3.jpg, not adopted


def test_names_of_strangers_cannot_inject_anything(make_run: MakeRun) -> None:
    page = _page(make_run(name="<script>alert(1)</script>"))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "images/&lt;b&gt;.jpg" in page


def test_without_truth_the_page_says_nothing_of_precision(make_run: MakeRun) -> None:
    page = _page(make_run(with_truth=False))
    assert "precision</th>" not in page
    assert "· wrong" not in page


def test_a_run_that_is_not_over_has_not_stopped(make_run: MakeRun) -> None:
    run = make_run()
    settings = storage.read_bytes(run.experiment).replace(b"images: 4", b"images: 0")
    storage.write_bytes(run.experiment, settings)
    page = _page(run)
    assert "Not every round has run." in page
    assert "stopped after" not in page
    storage.write_bytes(run.experiment, settings.replace(b"rounds: 3", b"rounds: 2"))
    assert "Not every round has run." not in _page(run)


def test_a_control_run_is_called_one(make_run: MakeRun) -> None:
    page = _page(make_run(by="none"))
    assert "This is a control run" in page
    assert "oracle.by: none" not in page


def test_the_same_run_gives_the_same_bytes(make_run: MakeRun) -> None:
    run = make_run()
    assert _page(run) == _page(run)


def test_a_round_without_a_summary_ends_the_report(make_run: MakeRun) -> None:
    run = make_run()
    Path(run.summary(2)).unlink()
    assert write_report(run.uri)["rounds"] == 1


def test_without_a_finished_round_there_is_no_report(make_run: MakeRun) -> None:
    run = make_run()
    Path(run.summary(1)).unlink()
    with pytest.raises(ValueError, match="no round is finished yet"):
        write_report(run.uri)


def test_a_chain_that_does_not_fit_is_refused(make_run: MakeRun) -> None:
    run = make_run()
    storage.write_json(run.summary(1), storage.read_json(run.summary(1)) | {"adopted": 1})
    with pytest.raises(ValueError, match="round 2 was built on an older round 1"):
        write_report(run.uri)
    assert not Path(run.report).exists()


def test_the_page_tells_waiting_for_people_apart_from_work(make_run: MakeRun) -> None:
    run = make_run()
    asked = {"started": 1295.0, "seconds": 5.0, "waited": 90.0}
    storage.write_json(run.timing(1, "match_labels"), asked)
    page = " ".join(_page(run).split())
    times = storage.read_json(run.report_summary)["times"]
    assert times["people"] == 90.0
    assert "besides, 1 min 30 s of waiting for people, which is no work" in page
    assert "<h3>Queued</h3>" in page
