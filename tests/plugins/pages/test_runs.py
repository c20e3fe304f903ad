from pathlib import Path

import pytest

from boxloop.artifacts import Run
from boxloop_airflow.pages import runs


@pytest.mark.parametrize(
    ("uri", "is_served"),
    [
        ("{root}/experiments/a", True),
        ("{other}/experiments/a", True),
        ("gs://bucket/runs/experiments/a", True),
        ("{root}", False),
        ("{root}-more/experiments/a", False),
        ("{root}/../elsewhere/a", False),
        ("{root}/link/a", False),
        ("gs://bucket/runs-more/a", False),
        ("gs://bucket/runs/../a", False),
        ("gs://other/runs/experiments/a", False),
    ],
)
def test_only_runs_below_a_known_root_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, is_served: bool
) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    root.mkdir()
    (root / "link").symlink_to("/")
    monkeypatch.setenv("BOXLOOP_ROOT", str(root))
    monkeypatch.setenv("BOXLOOP_REVIEW_ROOTS", f"{other} gs://bucket/runs/")
    planned = [runs.Round(Run(uri.format(root=root, other=other)), 1, 0)]
    monkeypatch.setattr(runs, "planned_rounds", lambda *_: planned)
    served = runs.served_rounds(None, "d", "r")  # type: ignore[arg-type]
    assert served == (planned if is_served else [])
    assert runs.is_elsewhere(None, "d", "r") is not is_served  # type: ignore[arg-type]
