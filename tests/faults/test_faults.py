"""A few of the faults on a real Airflow; `make test-faults` has all (docs/reliability.md)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.campaign import Campaign, play, undisturbed
from tests.faults.kills import kill
from tests.faults.parts import API, kill_part
from tests.faults.stage import Stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]
FAULTS = [
    kill("task", "parse_annotations", 1, "middle"),
    kill("task", "write_tfrecords", 1, "marker"),
    kill("trainer", "train", 1, "middle"),
    kill("child process", "predict", 1, "marker"),
    kill("task", "match_labels", 1, "after"),
    kill("task", "merge", 1, "middle"),
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("faults") / "stage")
    with stage.open():
        yield stage
    assert stage.server.processes() == []


def test_a_run_that_meets_faults_ends_as_one_that_meets_none(stage: Stage, tmp_path: Path) -> None:
    expected = undisturbed(stage, "undisturbed", 1)
    restart = kill_part(API, ("export", 1, "start"), with_children=True)
    result = play(stage, Campaign(name="short", faults=FAULTS, acts=[restart]), expected)
    assert result.problems == []
    assert result.happened.total() == 7
