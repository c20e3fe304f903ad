"""What somebody types into a form, or names a file, is no template for Airflow to run."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk import DAG
from airflow.sdk.definitions.xcom_arg import PlainXComArg
from airflow.sdk.exceptions import TaskAwaitingInput

from boxloop.artifacts import Run
from boxloop_airflow import alerts
from boxloop_airflow.form import values
from boxloop_airflow.match_labels import MatchLabelsOperator, review_link
from boxloop_airflow.rounds import ROUND_LABEL

PROJECT = Path(__file__).parents[2]
HOSTILE = "{{ 7*7 }}{{ var.value.secret }}{% set x = 1 %}{{ ''.__class__.__mro__ }}"
SPEC = {"run_uri": f"/runs/experiments/{HOSTILE}", "round_number": 2}


class Told:
    """Whatever a template asks Airflow for; nothing may ask."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a template has asked for {name}")


@pytest.fixture(params=["active_learning", "nightly_retraining"])
def dag(request: pytest.FixtureRequest) -> DAG:
    path = PROJECT / "dags" / f"{request.param}.py"
    spec = importlib.util.spec_from_file_location(request.param, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: DAG = getattr(module, request.param)()
    return found


def context(params: dict[str, Any]) -> Any:
    ti = SimpleNamespace(map_index=1, dag_id="d", run_id=HOSTILE, task_id="t")
    return {"ti": ti, "task_instance": ti, "params": params, "run_id": HOSTILE} | {
        name: Told() for name in ("var", "conn", "macros", "dag_run")
    }


def texts(value: Any) -> list[str]:
    """Return all texts in a value of lists and mappings."""
    if isinstance(value, dict):
        return [text for each in value.items() for text in texts(list(each))]
    if isinstance(value, list | tuple):
        return [text for each in value for text in texts(each)]
    return [value] if isinstance(value, str) else []


def test_the_only_templates_in_the_dags_are_ours(dag: DAG) -> None:
    found = {
        text
        for task in dag.tasks
        for name in (*task.template_fields, "map_index_template", "doc_md")
        for text in texts(getattr(task, name, None))
        if "{{" in text or "{%" in text
    }
    assert found == {"{{ params.resume }}", ROUND_LABEL}


def test_what_a_form_says_is_handed_on_and_not_rendered(
    dag: DAG, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real operators of the DAG, with a value where they would pull their XCom."""
    monkeypatch.setattr(PlainXComArg, "resolve", lambda *_: [SPEC, SPEC])
    rendered = []
    for task in dag.tasks:
        task.render_template_fields(given := context({"resume": HOSTILE}))
        done = given.get("task", task)
        rendered += [text for name in done.template_fields for text in texts(getattr(done, name))]
    hostile = [text for text in rendered if "7*7" in text]
    assert set(hostile) == {SPEC["run_uri"], HOSTILE}
    assert hostile.count(str(SPEC["run_uri"])) >= len(dag.tasks) - 2
    assert not [text for text in rendered if "49" in text]


def test_a_round_is_called_by_its_number_alone(dag: DAG) -> None:
    label = dag.get_task("round.gate").render_template(ROUND_LABEL, context({"resume": "auto"}))
    assert label == "round 02"


def test_a_request_to_people_has_nothing_of_what_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **request: asked.append(request))
    run = Run(str(tmp_path / HOSTILE.replace("/", "")))
    task = MatchLabelsOperator(task_id="match_labels", spec={"run_uri": run.uri, "round_number": 1})
    monkeypatch.setattr(task, "_judge", lambda: {"review_items": 3})
    monkeypatch.setattr(task, "_hours", lambda: 1.5)
    ti = SimpleNamespace(id="1", dag_id="d)](javascript:alert(1))", run_id=f"{HOSTILE}\n# now")
    execute = MatchLabelsOperator.execute.__wrapped__  # type: ignore[attr-defined]
    with pytest.raises(TaskAwaitingInput):
        execute(task, {"ti": ti, "task_instance": ti})
    (request,) = asked
    assert request["subject"] == "Round 1: 3 images to review"
    for given in ("{{", "{%", "javascript:", "\n# now", ")]("):
        assert given not in request["body"]
    assert {"subject", "body"}.isdisjoint(MatchLabelsOperator.template_fields)


def test_a_link_has_no_way_out_of_its_path() -> None:
    link = review_link("../../x?y#z", "a/b)[c](d")
    assert link == "/dags/..%2F..%2Fx%3Fy%23z/runs/a%2Fb%29%5Bc%5D%28d/plugin/review"


def test_a_form_makes_no_folder_name_that_is_a_template() -> None:
    assert "{" not in values.slug(HOSTILE)


def test_a_webhook_gets_what_was_typed_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted: list[dict[str, Any]] = []
    monkeypatch.setattr(alerts, "_post", posted.append)
    ti = SimpleNamespace(task_id="t", dag_id="d", run_id=HOSTILE, try_number=1, map_index=0)
    given = {"ti": ti, "exception": ValueError(HOSTILE), "params": {"artifact_root": str(tmp_path)}}
    alerts.alert_failure(given)
    assert HOSTILE in posted[0]["text"]
    (written,) = (tmp_path / "alerts").iterdir()
    assert "{" not in written.name
    assert json.loads(written.read_text()) == posted[0]
