from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.rounds import plan, right_detections, run_round

from boxloop import judging, merging, review, steps, storage
from boxloop.artifacts import Run
from boxloop.data.dataset import XYXY, from_parquet, read_dataset
from boxloop.data.formats.annotation import Box
from boxloop.oracle.decisions import Decision


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = plan(tmp_path, "run", **{"oracle.by": "both", "review.items": 24})
    steps.run_task("parse_annotations", run.uri, 1)
    return run


def asked(run: Run, number: int = 1) -> pd.DataFrame:
    return from_parquet(storage.read_bytes(run.queue(number)))


def answer(run: Run, image_id: str, action: str, boxes: list[Any], number: int = 1) -> None:
    decision = Decision(
        image_id=image_id,
        action=action,
        boxes=tuple(boxes),
        seconds=2.0,
        author="anna",
        decided_at="2026-11-23T01:02:03.456Z",
        round=number,
    )
    review.record(run, number, decision)


def boxes_of(run: Run, image_id: str, number: int = 2) -> pd.DataFrame:
    return read_dataset(run.dataset(number)).boxes.query("image_id == @image_id")


def verdicts(run: Run, number: int, detections: pd.DataFrame) -> list[tuple[str, str]]:
    """Run a round, and return what the oracle said of each image."""
    run_round(run, number, detections)
    adoptions = from_parquet(storage.read_bytes(run.adoptions(number)))
    return list(zip(adoptions["image_id"], adoptions["reason"], strict=True))


def test_what_people_said_is_in_the_next_version(run: Run) -> None:
    detections = right_detections(run, 6).assign(score=0.5)

    def people() -> None:
        queue = asked(run).set_index("image_id")
        shown = queue.dropna(subset=["xmin"]).index
        empty = queue.index.difference(shown)
        proposed = [Box(queue["class_name"][name], *queue.loc[name, XYXY]) for name in shown]
        answer(run, shown[0], "accept", [proposed[0]])
        answer(run, shown[1], "reject", [])
        answer(run, empty[0], "correct", [Box(queue["image_label"][empty[0]], 1, 2, 30, 40)])
        names.extend([shown[0], shown[1], empty[0]])

    names: list[str] = []
    summary = run_round(run, 1, detections, people=people)
    accepted, rejected, drawn = names
    assert (summary["reviewed"], summary["refused"], summary["human_seconds"]) == (2, 1, 6)
    for name, reason in ((accepted, "accepted"), (drawn, "drawn")):
        (row,) = boxes_of(run, name).to_dict("records")
        assert (row["origin"], row["author"], row["reason"]) == ("reviewed", "anna", reason)
    assert boxes_of(run, rejected).empty
    assert read_dataset(run.dataset(2)).refused["image_id"].tolist() == [rejected]
    with pytest.raises(ValueError, match="closed"):
        answer(run, accepted, "undo", [])


def test_people_s_boxes_stay_and_refused_ones_do_not_come_back(run: Run) -> None:
    detections = right_detections(run, 6).assign(score=0.5)
    names: list[str] = []

    def people() -> None:
        queue = asked(run).dropna(subset=["xmin"]).set_index("image_id")
        names.extend(queue.index[:2])
        answer(run, names[0], "correct", [Box(queue["class_name"][names[0]], 1, 2, 30, 40)])
        answer(run, names[1], "reject", [])

    run_round(run, 1, detections, people=people)
    mended, refused = names
    second = run_round(run, 2, detections)
    assert second["pool"] == 23
    assert boxes_of(run, mended, 3)[XYXY].to_numpy().tolist() == [[1, 2, 30, 40]]
    assert boxes_of(run, refused, 3).empty
    assert not {mended, refused} & set(asked(run, 2)["image_id"])


def test_where_people_judge_alone_the_oracle_adopts_nothing(tmp_path: Path) -> None:
    run = plan(tmp_path, "run", **{"oracle.by": "human"})
    steps.run_task("parse_annotations", run.uri, 1)
    summary = run_round(run, 1, right_detections(run, 6))
    assert (summary["adopted"], summary["review_items"]) == (0, 24)
    assert summary["rejected"]["left to people"] == 6


def test_two_merges_of_one_round_come_to_the_same(run: Run) -> None:
    summary = run_round(run, 1, right_detections(run, 6))
    written = storage.read_bytes(f"{run.dataset(2)}/boxes.parquet")
    assert merging.merge(run, 1) == summary
    assert storage.read_bytes(f"{run.dataset(2)}/boxes.parquet") == written


def test_nobody_is_asked_where_labels_judge(tmp_path: Path) -> None:
    run = plan(tmp_path, "run")
    steps.run_task("parse_annotations", run.uri, 1)
    summary = run_round(run, 1, right_detections(run, 6))
    assert (summary["review_items"], summary["reviewed"]) == (0, 0)
    assert not storage.exists(run.queue(1))
    assert judging.read_detections([]).empty


def test_an_image_that_a_person_left_unboxed_is_not_asked_about_again(run: Run) -> None:
    detections = right_detections(run, 6).assign(score=0.5)
    unboxed: list[str] = []

    def people() -> None:
        unboxed.extend(asked(run).query("action == 'draw'")["image_id"][:3])
        for name in unboxed:
            answer(run, name, "reject", [])

    run_round(run, 1, detections, people=people)
    run_round(run, 2, detections)
    assert len(unboxed) == 3
    more = right_detections(run, 24)
    assert {name: str(reason) for name, reason in verdicts(run, 3, more) if name in unboxed} == (
        dict.fromkeys(unboxed, "a person refused this box")
    )
    assert not set(unboxed) & set(asked(run, 2)["image_id"])


def test_what_is_doubtful_beside_a_refused_box_goes_with_it(run: Run) -> None:
    found = right_detections(run, 1).assign(score=0.5)
    beside = found.assign(class_name="pip", score=0.3, xmin=100, xmax=120)
    refused: list[str] = []

    def people() -> None:
        queue = asked(run).set_index("image_id")
        refused.extend(found["image_id"])
        assert queue["action"][refused[0]] == "verify"
        answer(run, refused[0], "reject", [])

    run_round(run, 1, pd.concat([found, beside], ignore_index=True), people=people)
    assert boxes_of(run, refused[0]).empty
    assert refused[0] not in set(read_dataset(run.dataset(2)).training_images["image_id"])
