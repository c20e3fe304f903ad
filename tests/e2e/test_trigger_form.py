"""The trigger form as people meet it: filled in, in a browser, on a real Airflow."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.e2e.conftest import MICRO, instances, wait_until
from tests.reviewer import open_browser

from boxloop.local_airflow.client import AirflowClient
from boxloop.local_airflow.demo import DAG
from boxloop.local_airflow.server import AirflowServer
from boxloop_airflow.form import PARAMS, SECTIONS

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning"),
]
PLAN = ("plan_rounds", -1)


class Form:
    """The dialog that triggers a run."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        page.goto(f"{url}/dags/{DAG}")
        page.get_by_role("button", name="Trigger").first.click()
        self.dialog: Locator = page.get_by_role("dialog")

    def fill(self, name: str, value: str) -> None:
        """Fill in a field, its section opened."""
        self._open(name)
        self.dialog.locator(f"[name=element_{name}]").fill(value)

    def choose(self, name: str, words: str) -> None:
        """Choose what people read."""
        self._open(name)
        self.dialog.locator(f"#element_{name}").click()
        self.page.get_by_role("option", name=words, exact=True).click()

    def trigger(self) -> None:
        """Press the button."""
        self.dialog.get_by_role("button", name="Trigger", exact=True).click()

    def _open(self, name: str) -> None:
        title = PARAMS[name].schema.get("section", "Run Parameters")
        section = self.dialog.get_by_role("button", name=title, exact=True)
        if section.get_attribute("aria-expanded") == "false":
            section.click()
        expect(section).to_have_attribute("aria-expanded", "true")


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with open_browser() as browser:
        yield browser.new_page(viewport={"width": 1280, "height": 1000})


@pytest.fixture
def form(page: Page, server: AirflowServer, client: AirflowClient) -> Form:
    return Form(page, server.url)


def test_one_field_is_seen_at_once_and_the_others_by_section(form: Form) -> None:
    expect(form.dialog.locator("[name=element_experiment]")).to_have_value("demo")
    expect(form.dialog.locator("[name=element_rounds]")).to_be_hidden()
    for title in SECTIONS:
        expect(form.dialog.get_by_role("button", name=title, exact=True)).to_be_visible()


def test_a_filled_in_form_starts_a_run_with_those_settings(
    form: Form, page: Page, client: AirflowClient
) -> None:
    form.fill("experiment", MICRO)
    form.fill("split_ratio", "4")
    form.fill("learning_rate", "0.02")
    form.choose("start", "a pretrained backbone")
    form.fill("rounds", "1")
    form.fill("max_hours", "1.5")
    form.choose("several", "the best one alone")
    form.fill("experiment_id", "from_the_form")
    form.fill("settings", "train.ema=0.5")
    form.trigger()
    page.wait_for_url("**/runs/**")
    run_id = unquote(page.url.rpartition("/runs/")[2].split("/")[0])
    wait_until(lambda: instances(client, run_id).get(PLAN) == "success", 600)
    shown = settings_of(client, run_id)
    client.fail_run(DAG, run_id)
    assert (shown["name"], shown["rounds"], shown["data"]["split_ratio"]) == ("micro", 1, 4)
    train = shown["train"]
    assert (train["learning_rate"], train["start"], train["ema"]) == (0.02, "backbone", 0.5)
    assert (train["steps"], shown["seed"]) == (2, 1)  # left empty: as the experiment has them
    assert (shown["stop"]["seconds"], shown["oracle"]["several"]) == (5400, False)


def test_a_number_beyond_its_bounds_is_mended_before_it_is_sent(form: Form) -> None:
    form.fill("boxed_share", "7")
    form.fill("steps", "0")
    form.fill("rounds", "3")
    expect(form.dialog.locator("[name=element_steps]")).to_have_value("1")
    expect(form.dialog.locator("[name=element_boxed_share]")).to_have_value("1")


def test_a_value_that_the_form_knows_to_be_wrong_is_refused_at_once(
    form: Form, client: AirflowClient
) -> None:
    before = client.active_runs(DAG)
    form.fill("experiment_id", "a b")
    form.trigger()
    told = form.dialog.get_by_text(re.compile("Failed validating 'pattern'"))
    expect(told).to_contain_text("'title': 'Experiment id'")
    assert client.active_runs(DAG) == before


def test_a_value_that_only_boxloop_knows_to_be_wrong_is_refused_by_its_field(
    form: Form, page: Page, client: AirflowClient
) -> None:
    form.fill("experiment", MICRO)
    form.fill("model", "retinanet_lite9")
    form.trigger()
    page.wait_for_url("**/runs/**")
    run_id = unquote(page.url.rpartition("/runs/")[2].split("/")[0])
    wait_until(lambda: instances(client, run_id).get(PLAN) == "failed", 600)
    (plan,) = [i for i in client.task_instances(DAG, run_id) if i["task_id"] == "plan_rounds"]
    log = "\n".join(client.log_lines(plan))
    assert "Field \"Model\" (model): model 'retinanet_lite9' is not in the zoo" in log
    page.goto(f"{page.url.partition('/runs/')[0]}/runs/{run_id}/tasks/plan_rounds")
    expect(page.get_by_text("What failed: plan_rounds")).to_be_visible(timeout=120_000)


def settings_of(client: AirflowClient, run_id: str) -> dict[str, Any]:
    """Return what the run's plan shows of its settings."""
    return dict(client.xcom(DAG, run_id, "plan_rounds", key="experiment"))
