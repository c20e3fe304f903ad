from pathlib import Path
from typing import Any

import pytest

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.ledger import (
    ROUND_TASKS,
    Value,
    brief,
    check_previous_round,
    finished_rounds,
    parent_digest,
    run_once,
    task_value,
    why_stopped,
)
from boxloop.timings import record_wait


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run.of(str(tmp_path), "a")
    storage.write_bytes(run.experiment, b"name: a\nseed: 2\n")
    return run


def do(run: Run, name: str, calls: list[str], value: int = 1, round_number: int = 1) -> Value:
    def work() -> dict[str, int]:
        calls.append(name)
        return {"value": value}

    return run_once(run, round_number, name, work, started=0.0)


def test_a_finished_task_returns_its_value_and_does_nothing(run: Run) -> None:
    calls: list[str] = []
    first = do(run, "parse_annotations", calls, value=1)
    second = do(run, "parse_annotations", calls, value=2)
    assert (first, second) == ({"value": 1}, {"value": 1})
    assert calls == ["parse_annotations"]
    assert task_value("parse_annotations", run.uri, 1) == {"value": 1}


def test_a_task_that_died_is_done_again(run: Run) -> None:
    def die() -> dict[str, int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_once(run, 1, "parse_annotations", die, started=0.0)
    calls: list[str] = []
    do(run, "parse_annotations", calls)
    assert calls == ["parse_annotations"]


def test_a_late_double_leaves_what_others_have_gone_on_from(run: Run) -> None:
    calls: list[str] = []

    def slow() -> dict[str, int]:
        do(run, "parse_annotations", calls, value=1)
        return {"value": 2}

    assert run_once(run, 1, "parse_annotations", slow, started=0.0) == {"value": 1}
    assert task_value("parse_annotations", run.uri, 1) == {"value": 1}


def test_the_disk_keeps_the_work_before_the_marker(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = run.marker(1, "parse_annotations")
    settled: list[tuple[int, bool]] = []
    calls: list[str] = []
    monkeypatch.setattr("os.sync", lambda: settled.append((len(calls), storage.exists(marker))))
    do(run, "parse_annotations", calls)
    assert settled == [(1, False), (1, True)]


def test_a_change_upstream_reaches_every_task(run: Run) -> None:
    calls: list[str] = []
    for name in ("parse_annotations", "write_tfrecords", "train"):
        do(run, name, calls)
    storage.write_bytes(run.experiment, b"name: a\nseed: 3\n")
    for name in ("parse_annotations", "write_tfrecords", "train"):
        do(run, name, calls)
    assert calls == ["parse_annotations", "write_tfrecords", "train"] * 2


def test_a_task_builds_on_its_upstream_only(run: Run) -> None:
    calls: list[str] = []
    for name in ("parse_annotations", "write_tfrecords", "train", "export", "evaluate", "export"):
        do(run, name, calls)
    assert calls[3:] == ["export", "evaluate"]  # export waits for no evaluation, and heeds none


def test_a_new_evaluation_is_judged_and_merged_anew(run: Run) -> None:
    calls: list[str] = []
    for name in ROUND_TASKS:
        do(run, name, calls)
    marker = storage.read_json(run.marker(1, "evaluate"))
    storage.write_json(run.marker(1, "evaluate"), {**marker, "value": {"map50": 0.5}})
    do(run, "match_labels", calls)
    do(run, "merge", calls)
    assert calls[len(ROUND_TASKS) :] == ["match_labels", "merge"]


def test_a_round_follows_from_the_round_before(run: Run) -> None:
    calls: list[str] = []
    for name in ROUND_TASKS:
        do(run, name, calls)
    do(run, "parse_annotations", calls, round_number=2)
    do(run, "parse_annotations", calls, round_number=2)
    assert calls[-2:] == ["merge", "parse_annotations"]


def test_what_follows_builds_on_the_task_and_not_on_its_workers(run: Run) -> None:
    calls: list[str] = []
    for name in (*ROUND_TASKS[:5], "predict-00001-of-00002", "predict-00002-of-00002"):
        do(run, name, calls)
    with pytest.raises(FileNotFoundError):
        do(run, "match_labels", calls)
    do(run, "predict", calls)
    do(run, "match_labels", calls)
    storage.delete(run.marker(1, "predict-00001-of-00002"))
    do(run, "match_labels", calls)
    assert calls[-2:] == ["predict", "match_labels"]
    assert task_value("predict", run.uri, 1, worker=2, workers=2) == {"value": 1}


def test_people_are_shown_the_number_of_what_grows_with_the_images() -> None:
    names = [f"part_{number}" for number in range(101)]
    value = {"parts": names, "images": 5, "shards": {"train": names, "test": ["a"]}}
    number = "101 entries, in the task's marker"
    assert brief(value) == {
        "parts": number,
        "images": 5,
        "shards": {"train": number, "test": ["a"]},
    }
    assert brief({"parts": names[:100]}) == {"parts": names[:100]}


def finish(run: Run, number: int, **figures: Any) -> None:
    """Leave behind a round that nothing stops, but for the figures given."""
    usual = {"round": number, "pool": 9, "training_images": 100, "adopted": 50}
    parent = {"parent_digest": parent_digest(run, number)}
    storage.write_json(run.summary(number), usual | parent | figures)


def settings(run: Run, **rules: Any) -> None:
    model = {"name": "tiny", "experiment": "x", "task": "RetinaNet", "input_size": [64, 64]}
    content = {"name": "a", "model": model, "data": {"uri": "/data"}, "stop": rules}
    storage.write_json(run.experiment, content)


def test_no_round_begins_while_undoing_rounds_was_cut_off(run: Run) -> None:
    settings(run)
    journal = {"round": 1, "rounds": [1], "is_finished": False}
    storage.write_json(f"{run.uri}/rolled_back/1/rollback.json", journal)
    with pytest.raises(ValueError, match="finish it first"):
        check_previous_round(run.uri, 1)


def test_the_chain_of_rounds_is_checked(run: Run) -> None:
    settings(run)
    assert check_previous_round(run.uri, 1) is None
    with pytest.raises(ValueError, match="round 1 has no summary"):
        check_previous_round(run.uri, 2)
    finish(run, 1)
    finish(run, 2)
    assert check_previous_round(run.uri, 2) is None
    assert check_previous_round(run.uri, 3) is None
    finish(run, 1, adopted=51)
    with pytest.raises(ValueError, match="round 2 was built on another round 1"):
        check_previous_round(run.uri, 3)


def test_the_reason_to_stop_follows_the_settings_as_they_are(run: Run) -> None:
    finish(run, 1)
    finish(run, 2, adopted=1)
    settings(run)
    assert "stop.adoption_rate" in str(check_previous_round(run.uri, 3))
    assert "stop.adoption_rate" in str(why_stopped(run, 2))
    settings(run, adoption_rate=0.01)
    assert check_previous_round(run.uri, 3) is None


def test_a_finished_round_is_never_stopped(run: Run) -> None:
    for number, adopted in ((1, 50), (2, 0), (3, 50)):
        finish(run, number, adopted=adopted)
    settings(run)
    assert check_previous_round(run.uri, 3) is None
    assert check_previous_round(run.uri, 4) is None
    assert finished_rounds(run) == 3


def test_other_rounds_and_rules_undo_nothing(run: Run) -> None:
    calls: list[str] = []
    do(run, "parse_annotations", calls)
    storage.write_bytes(run.experiment, b"name: a\nseed: 2\nrounds: 9\nstop: {images: 9}\n")
    do(run, "parse_annotations", calls)
    assert calls == ["parse_annotations"]


def test_a_stage_that_ends_well_says_so_and_one_that_is_done_already_does_not(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for _ in range(2):
        do(run, "parse_annotations", [])
    told = [line for line in caplog.messages if line.startswith("Annotation parsing Success [")]
    assert len(told) == 1


def test_how_long_people_took_stands_beside_the_time_of_the_task_that_asked_them(
    run: Run,
) -> None:
    storage.write_json(run.timing(1, "match_labels"), {"started": 1000.0, "seconds": 5.0})
    record_wait(run, 1, "match_labels", until=1065.0)
    assert storage.read_json(run.timing(1, "match_labels")) == {
        "started": 1000.0,
        "seconds": 5.0,
        "waited": 60.0,
    }
