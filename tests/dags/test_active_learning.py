from typing import Any

import pytest
from tests.dags.parsing import PROJECT, parse

from boxloop.ledger import UPSTREAM

NAME = "active_learning"


@pytest.fixture(scope="module")
def parsed() -> dict[str, Any]:
    return parse(NAME)


def inside(edges: list[list[str]]) -> list[tuple[str, str]]:
    """Return the edges between tasks of the group, as names without it."""
    return [
        (a.removeprefix("round."), b.removeprefix("round."))
        for a, b in edges
        if a.startswith("round.") and b.startswith("round.")
    ]


def test_airflow_finds_no_import_error() -> None:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(PROJECT / "dags" / "active_learning.py"))
    assert bag.import_errors == {}
    assert list(bag.dags) == ["active_learning"]


def test_a_round_is_one_chain_with_its_evaluation_beside_the_pool(parsed: dict[str, Any]) -> None:
    edges = inside(parsed["edges"])
    assert edges == [
        ("evaluate", "match_labels"),
        ("export", "evaluate"),
        ("export", "predict"),
        ("gate", "parse_annotations"),
        ("match_labels", "merge"),
        ("parse_annotations", "write_tfrecords"),
        ("predict", "match_labels"),
        ("train", "export"),
        ("write_tfrecords", "train"),
    ]
    kept = [(before, task) for task, upstream in UPSTREAM.items() for before in upstream]
    assert edges == sorted([("gate", "parse_annotations"), *kept])


def test_rounds_come_after_the_plan_and_before_the_report(parsed: dict[str, Any]) -> None:
    outside = [(a, b) for a, b in parsed["edges"] if not (a.startswith("round.") and "round." in b)]
    assert ("round.merge", "report") in outside
    assert ("plan_rounds", "round.gate") in outside
    assert not [b for a, b in outside if a == "report"]


def test_predict_waits_for_as_many_workers_as_there_are_dead_or_alive() -> None:
    parsed = parse(NAME, BOXLOOP_PREDICT_WORKERS="3")
    edges = inside(parsed["edges"])
    workers = ["predict_01", "predict_02", "predict_03"]
    assert [b for a, b in edges if a == "export"] == ["evaluate", "predict", *workers]
    assert [a for a, b in edges if b == "predict"] == ["export", *workers]
    assert [a for a, b in edges if b == "match_labels"] == ["evaluate", "predict"]
    assert parsed["rules"]["round.predict"] == "all_done_min_one_success"


@pytest.mark.parametrize("text", ["0", "100", "many", "-1"])
def test_a_number_of_workers_or_runs_that_is_none_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from boxloop_airflow import rounds

    for name, number in (
        (rounds.PREDICT_WORKERS, rounds.predict_workers),
        (rounds.ACTIVE_RUNS, rounds.active_runs),
    ):
        monkeypatch.setenv(name, text)
        with pytest.raises(ValueError, match=f"{name} must be a number from 1 to 99, got '{text}'"):
            number()


def test_every_param_is_explained(parsed: dict[str, Any]) -> None:
    for name, param in parsed["params"].items():
        assert len(param["description"]) > 40, name
        assert {"type", "title"} <= set(param["schema"]), name
        assert ("section" in param["schema"]) == (name != "experiment"), "only it is seen at once"


def test_only_the_experiment_needs_a_value(parsed: dict[str, Any]) -> None:
    values = {name: param["value"] for name, param in parsed["params"].items()}
    assert values.pop("experiment") == "demo"
    assert values.pop("resume") == "auto"
    assert set(values.values()) == {None}


def test_numbers_have_bounds(parsed: dict[str, Any]) -> None:
    for name, param in parsed["params"].items():
        if {"integer", "number"} & set(param["schema"]["type"]):
            assert "minimum" in param["schema"], name


def test_parsing_is_light(parsed: dict[str, Any]) -> None:
    assert parsed["heavy"] == []
    assert parsed["cpu_seconds"] < 10


def test_experiments_do_not_overlap_unless_the_environment_says_so(parsed: dict[str, Any]) -> None:
    assert parsed["max_active_runs"] == 1
    assert parse(NAME, BOXLOOP_ACTIVE_RUNS="")["max_active_runs"] == 1
    assert parse(NAME, BOXLOOP_ACTIVE_RUNS="3")["max_active_runs"] == 3
    assert parsed["pools"] == {"round.train": "gpu"}


def test_every_task_is_tried_again(parsed: dict[str, Any]) -> None:
    assert min(parsed["retries"].values()) >= 2


def test_only_the_report_runs_after_skipped_rounds(parsed: dict[str, Any]) -> None:
    report = parsed["rules"].pop("report")
    assert report == "none_failed"
    assert set(parsed["rules"].values()) == {"all_success"}  # others misbehave in mapped groups


def test_it_is_documented(parsed: dict[str, Any]) -> None:
    assert "one run is one experiment" in parsed["doc"]
    assert parsed["owners"] == ["boxloop"]
    assert "boxloop" in parsed["tags"]
