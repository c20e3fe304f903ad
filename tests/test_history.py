from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.child import INPUT_ERROR
from boxloop.cli import main
from boxloop.data.dataset import BOX_COLUMNS, IMAGE_COLUMNS, XYXY, build_table, to_parquet
from boxloop.history import image_history

HERE, THERE = (10, 10, 50, 50), (20, 10, 60, 50)


def box(name: str, xyxy: tuple[int, ...], **more: Any) -> dict[str, object]:
    return {
        "image_id": "pips/a.jpg",
        "class_name": name,
        **dict(zip(XYXY, xyxy, strict=True)),
    } | more


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """An image that is adopted in round 1, withdrawn in 2 and then mended by a person."""
    run = Run(str(tmp_path / "trial"))
    images: list[dict[str, object]] = [
        {"image_id": f"{name}.jpg", "width": 400, "height": 300, "split": "pool"}
        | {"image_label": "pip" if name == "pips/a" else None}
        for name in ("pips/a", "pips/b", "tocks/b")
    ]
    adopted = box("pip", HERE, origin="adopted", round=1, score=0.91, model="tiny", mode="gated")
    mended = box("tock", THERE, origin="reviewed", round=2, author="anna", mode="review")
    given = [
        box(name, HERE, origin="human", round=0) | {"image_id": "t.jpg"} for name in ("pip", "tock")
    ]
    images.append({"image_id": "t.jpg", "width": 400, "height": 300, "split": "train"})
    versions = [[], [adopted | {"reason": "label and score"}], [mended | {"reason": "corrected"}]]
    for number, boxes in enumerate(versions, start=1):
        folder = run.dataset(number)
        for name, rows, columns in (
            ("images", images, IMAGE_COLUMNS),
            ("boxes", [*given, *boxes], BOX_COLUMNS),
        ):
            table = build_table([dict(row) for row in rows], columns)
            storage.write_bytes(f"{folder}/{name}.parquet", to_parquet(table))
    verdicts: list[dict[str, object]] = [
        box("pip", HERE, score=0.91, verdict="adopted", reason="label and score", p_right=0.97),
        box("pip", HERE, score=0.91, verdict="withdrawn", reason="label no longer matches"),
        {"image_id": "pips/a.jpg", "verdict": "rejected", "reason": "nothing detected"},
    ]
    columns = {name: BOX_COLUMNS[name] for name in ("image_id", "class_name", *XYXY, "score")}
    columns |= {"verdict": "string", "reason": "string", "p_right": "float64"}
    for number, rows in ((1, verdicts[:1]), (2, verdicts[1:])):
        storage.write_bytes(run.adoptions(number), to_parquet(build_table(rows, columns)))
    decision = {"image_id": "pips/a.jpg", "action": "correct", "seconds": 1.7, "author": "anna"}
    decision |= {"boxes": [box("tock", THERE)], "decided_at": "2026-11-23T01:02:03Z", "round": 2}
    storage.write_json(f"{run.decisions(2)}/1.json", decision)
    storage.write_json(f"{run.decisions(2)}/2.json", decision | {"image_id": "pips/b.jpg"})
    queue = [
        {"image_id": f"pips/{name}.jpg", "action": "draw", "class_name": None} for name in "ab"
    ]
    table = pd.DataFrame([row | dict.fromkeys(XYXY) for row in queue])
    storage.write_bytes(run.queue(2), to_parquet(table))
    storage.write_bytes(f"{run.decisions(2)}/3.json", b'{"image_id": "pips/a.j')
    return run


def test_an_image_tells_who_said_what_round_by_round(run: Run) -> None:
    assert image_history(run.uri, "pips/a.jpg") == [
        "pips/a.jpg: 400 x 300 pixels, label pip, pool",
        "dataset 1: no box",
        "round 1:",
        "    adopted: pip 0.91 [10, 10, 50, 50], right with 97 %: label and score",
        "dataset 2: 1 box",
        "    adopted: pip 0.91 [10, 10, 50, 50] (round 1, model tiny, gated): label and score",
        "round 2:",
        "    withdrawn: pip 0.91 [10, 10, 50, 50]: label no longer matches",
        "    rejected: nothing detected: nothing detected",
        "    anna: correct tock [20, 10, 60, 50], after 1.7 s, 2026-11-23T01:02:03Z",
        "    (files of any image that hold no decision: 1)",
        "dataset 3: 1 box",
        "    reviewed: tock [20, 10, 60, 50] (round 2, author anna, review): corrected",
    ]


def test_versions_and_adoptions_of_an_older_version_are_told(run: Run) -> None:
    verdict = box("pip", HERE, score=0.9, reason="adopted", is_adopted=True)
    adoptions = pd.DataFrame([verdict])
    storage.write_bytes(run.adoptions(1), to_parquet(adoptions))
    old = build_table([box("pip", HERE, origin="human", round=0)], BOX_COLUMNS)
    old = old.drop(columns=["author", "mode", "reason"])
    storage.write_bytes(f"{run.dataset(1)}/boxes.parquet", to_parquet(old))
    lines = image_history(run.uri, "pips/a.jpg")
    assert lines[2] == "    human: pip [10, 10, 50, 50] (with the data)"
    assert lines[4] == "    adopted: pip 0.90 [10, 10, 50, 50]: adopted"


def test_the_name_alone_will_do_where_it_is_clear(run: Run) -> None:
    assert image_history(run.uri, "a.jpg")[0].startswith("pips/a.jpg")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("b.jpg", "are called so: pips/b.jpg, tocks/b.jpg"),
        ("pips/aa.jpg", "its images are called pips/a.jpg"),
    ],
)
def test_an_unknown_image_is_told_with_what_comes_near(
    run: Run, name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["history", name, "--run", run.uri]) == INPUT_ERROR
    assert message in capsys.readouterr().err


def test_the_command_tells_it(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", "a.jpg", "--run", run.uri]) == 0
    assert "label no longer matches" in capsys.readouterr().out
    assert main(["history", "a.jpg", "--run", f"{run.uri}x"]) == INPUT_ERROR
    assert "holds no run" in capsys.readouterr().err
