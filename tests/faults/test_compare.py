"""The judge of the faults: what it lets pass, and what it does not."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from tests.faults.campaign import Result
from tests.faults.compare import differences, outcome
from tests.faults.run import table
from tests.rounds import plan, right_detections, run_round

from boxloop import steps, storage
from boxloop.artifacts import Run


def finished(root: Path, run_id: str) -> Run:
    run = plan(root, run_id)
    steps.run_task("parse_annotations", run.uri, 1)
    for number in (1, 2):
        run_round(run, number, right_detections(run, 3))
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Two runs of the same experiment, elsewhere and under other names."""
    first, second = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    return finished(first, "one"), finished(second, "other")


def test_two_undisturbed_runs_come_to_the_same(runs: tuple[Run, Run]) -> None:
    first, second = map(outcome, runs)
    assert differences(first, second) == []
    assert {"/round_01/summary.json", "/round_02/done/merge.json"} <= first.keys()


def test_a_value_that_changed_is_found(runs: tuple[Run, Run]) -> None:
    expected = outcome(runs[0])
    uri = runs[0].summary(1)
    before = storage.read_bytes(uri)
    storage.write_json(uri, {**json.loads(before), "adopted": 99})
    found = outcome(runs[0])
    storage.write_bytes(uri, before)
    assert differences(found, expected) == ["other: /round_01/summary.json"]


def test_a_value_that_follows_from_another_is_found(runs: tuple[Run, Run]) -> None:
    expected = outcome(runs[0])
    uri = runs[0].marker(2, "merge")
    before = storage.read_bytes(uri)
    marker = json.loads(before)
    storage.write_json(uri, {**marker, "value": {**marker["value"], "adopted": 99}})
    found = outcome(runs[0])
    storage.write_bytes(uri, before)
    assert differences(found, expected) == ["other: /round_02/done/merge.json"]


def test_what_is_missing_and_what_is_too_much_is_found(runs: tuple[Run, Run]) -> None:
    expected = outcome(runs[0])
    uri = runs[0].adoptions(1)
    before = storage.read_bytes(uri)
    storage.delete(uri)
    storage.write_bytes(f"{uri}.half", before[:100])
    found = outcome(runs[0])
    storage.delete(f"{uri}.half")
    storage.write_bytes(uri, before)
    assert differences(found, expected) == [
        "missing: /round_01/adoptions.parquet",
        "too much: /round_01/adoptions.parquet.half",
    ]


def test_all_faults_of_a_lost_campaign_count_as_lost() -> None:
    good = Result(name="a", happened=Counter({"task killed": 3, "disk full": 1}))
    bad = Result(name="b", happened=Counter({"task killed": 2}), problems=["too much: /x"])
    rows = re.findall(r"\| (.+) \| (\d+) \| (\d+) \| (\d+) \|", table([good, bad]))
    assert rows == [
        ("disk full", "1", "1", "0"),
        ("task killed", "5", "3", "2"),
        ("**2 kinds**", "6", "4", "2"),
    ]
