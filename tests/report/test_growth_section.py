"""A run whose oracle says verdicts: boxes are adopted, kept and withdrawn, and people give some."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.data.dataset import (
    BOX_COLUMNS,
    DETECTION_COLUMNS,
    XYXY,
    build_table,
    from_parquet,
    read_dataset,
    to_parquet,
    write_dataset,
)
from boxloop.ledger import ROUND_TASKS
from boxloop.oracle.adoptions import ADOPTION_COLUMNS
from boxloop.report.growth_section import boxes_to_look_at
from boxloop.report.load import write_report
from boxloop.report.pictures import Shower

MakeRun = Callable[..., Run]
SEEN, SHIFTED, AWAY = (10, 10, 50, 50), (10, 10, 50, 40), (200, 200, 250, 250)
NONE = "\N{EN DASH}"


def box(image: str, name: str, xyxy: tuple[int, ...], **more: Any) -> dict[str, object]:
    return {"image_id": image, "class_name": name, **dict(zip(XYXY, xyxy, strict=True))} | more


def growth_row(name: str, total: int, added: int, withdrawn: int, **more: Any) -> dict[str, Any]:
    counts = {"class_name": name, "total": total, "added": added, "withdrawn": withdrawn}
    origins = {"human": 1, "adopted": total - 1, "reviewed": 0}
    return counts | origins | dict.fromkeys(("precision", "recall", "mean_iou")) | more


@pytest.fixture
def run(make_run: MakeRun) -> Run:
    """Round 1 adopts p0 and p1; round 2 keeps p0, withdraws p1 and adopts p2."""
    run = make_run()
    said: dict[int, list[dict[str, object]]] = {
        1: [
            box("p0.jpg", "pip", SEEN, verdict="adopted", is_adopted=True, reason="adopted"),
            box("p1.jpg", "pip", AWAY, verdict="adopted", is_adopted=True, reason="adopted"),
        ],
        2: [
            box("p0.jpg", "pip", SEEN, verdict="kept", is_adopted=True, reason="seen again"),
            box("p1.jpg", "pip", AWAY, verdict="withdrawn", reason="label no longer matches"),
            box("p1.jpg", "tock", AWAY, verdict="rejected", reason="class is not the label"),
            box("p2.jpg", "pip", SEEN, verdict="adopted", is_adopted=True, reason="adopted"),
        ],
    }
    for number, rows in said.items():
        table = build_table([{"score": 0.9, **row} for row in rows], ADOPTION_COLUMNS)
        storage.write_bytes(run.adoptions(number), to_parquet(table))
    finish(run, 1, [growth_row("pip", 3, 2, 0), growth_row("tock", 1, 0, 0)])
    last = {"precision": 0.5, "recall": 0.25, "mean_iou": 0.75, "reviewed": 1}
    finish(run, 2, [growth_row("pip", 4, 2, 1, **last), growth_row("tock", 1, 0, 0)])
    return run


def finish(run: Run, number: int, growth: list[dict[str, Any]]) -> None:
    parent = storage.digest(run.summary(number - 1)) if number > 1 else None
    mix = {"entropy": 0.5, "gini": None}
    figures = {"pool": 4, "withdrawn": number - 1, "reviewed": number - 1, "class_mix": mix}
    summary = storage.read_json(run.summary(number)) | figures
    del summary["candidates"]
    storage.write_json(run.summary(number), summary | {"growth": growth, "parent_digest": parent})


def page(run: Run) -> str:
    write_report(run.uri)
    return Path(run.report).read_text()


def cells(html: str) -> list[list[str]]:
    return [
        [re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<t[dh].*?</t[dh]>", row)]
        for row in re.findall(r"<tr.*?</tr>", html, re.DOTALL)
    ]


def table_after(html: str, title: str) -> list[list[str]]:
    return cells(html.partition(title)[2].partition("</table>")[0])


def test_boxes_are_counted_by_class_and_round(run: Run) -> None:
    rows = table_after(page(run), "<h3>Boxes by class</h3>")
    assert rows[1] == ["1", "2"]
    assert rows[2:] == [
        ["pip", "1", "3", "4", "+3", "1", "1"],
        ["tock", "1", "1", "1", "+0", "0", "0"],
        ["all", "2", "4", "5", "+3", "1", "1"],
    ]


def test_figures_say_what_they_are_measured_on_or_are_left_out(run: Run) -> None:
    title = "Adopted boxes against the truth"
    html = page(run)
    assert "measured on the 4 pool images whose true boxes are known" in html
    assert table_after(html, title)[1:] == [
        ["pip", "3", "0.50", "0.25", "0.75"],
        ["tock", "0", NONE, NONE, NONE],
    ]
    Path(run.truth).unlink()
    assert title not in page(run)


def test_the_class_mix_is_told_by_round(run: Run) -> None:
    rows = table_after(page(run), "<h3>Class mix</h3>")
    assert rows[1:] == [["1", "0.500", NONE], ["2", "0.500", NONE]]


def test_adopted_means_adopted_in_that_round(run: Run) -> None:
    html = page(run)
    summary = storage.read_json(run.report_summary)
    # p0 right and p1 wrong, then p2 right; what is kept counts once
    assert [entry["adoption_precision"] for entry in summary["rounds"]] == [0.5, 1.0]
    assert "66.7" in html
    effects = table_after(html, "What the adoptions did")
    assert [row[1] for row in effects if row[0] == "pip"] == ["2"]  # in round 1
    shown = html.partition("<h2>What was adopted</h2>")[2].partition("</section>")[0]
    assert len(re.findall("<figure", shown)) == 3


def test_what_was_withdrawn_is_not_left_over(run: Run) -> None:
    left = page(run).partition("Left over after round 2")[2].partition("</section>")[0]
    assert len(re.findall("<figure", left)) == 1
    assert "class is not the label" in left
    assert "label no longer matches" not in left


def test_the_summary_has_what_the_rounds_counted(run: Run) -> None:
    write_report(run.uri)
    second = storage.read_json(run.report_summary)["rounds"][1]
    assert (second["withdrawn"], second["reviewed"]) == (1, 1)
    assert second["growth"][0]["total"] == 4
    assert second["class_mix"] == {"entropy": 0.5, "gini": None}


def test_a_run_of_an_older_version_has_no_growth_table(make_run: MakeRun) -> None:
    html = page(make_run())
    assert "Boxes by class" not in html
    assert "Class mix" not in html
    assert "withdrawn</th>" not in html


def detect(run: Run, *rows: dict[str, object]) -> None:
    """Leave behind what round 2 detected in the pool, and the dataset that it left."""
    uri = run.detections(2, 1, 1, "digest")
    storage.write_bytes(uri, to_parquet(build_table(list(rows), DETECTION_COLUMNS)))
    for task in ROUND_TASKS:
        marker = {"fingerprint": "", "value": {"detections_uris": [uri]}}
        storage.write_json(run.marker(2, task), marker)
    dataset = read_dataset(run.dataset(2))
    adopted = [
        box(f"p{n}.jpg", "pip", SEEN, origin="adopted", round=n + 1, score=0.9) for n in range(3)
    ]
    boxes = pd.concat([dataset.boxes.head(2), build_table(adopted, BOX_COLUMNS)])
    write_dataset(run.dataset(3), type(dataset)(dataset.images, boxes))


def looks(run: Run) -> list[str]:
    section = page(run).partition("<h2>Boxes to look at</h2>")[2].partition("</section>")[0]
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", section, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", " ", caption).split()) for caption in captions]


def test_the_worst_boxes_are_shown(run: Run) -> None:
    detect(
        run,
        box("p0.jpg", "pip", SHIFTED, score=0.9),  # IoU 0.75 with the box
        box("p1.jpg", "pip", SEEN, score=0.9),
        box("p2.jpg", "pip", SEEN, score=0.97),
        box("p2.jpg", "tock", AWAY, score=0.97),
        box("t0.jpg", "tock", AWAY, score=0.99),  # not in the pool
    )
    # p2: hardly any similarity, and the other sure detection is like its box; p1 is fine
    assert looks(run)[1] == "pip · round 3 beside something overlooked · quality 0.00 p2.jpg"
    # 0.9 x 0.75 and 0.1 x e to the minus 0.5, of centres 5 pixels apart
    assert looks(run)[0] == "pip · round 1 badly located · quality 0.74 p0.jpg"
    assert len(looks(run)) == 2


def test_what_counts_begins_at_the_operating_threshold(run: Run) -> None:
    detect(run, box("p0.jpg", "pip", SHIFTED, score=0.4))
    assert looks(run) == []  # not evaluated: from 0.5 on
    operating = {"threshold": 0.4, "precision": 1.0, "recall": 1.0, "f1": 1.0}
    dataset = read_dataset(run.dataset(3))
    detections = from_parquet(storage.read_bytes(run.detections(2, 1, 1, "digest")))
    shower = Shower({"p0.jpg": f"{run.uri}/images/p0.jpg"}, storage.read_bytes)
    found = boxes_to_look_at(dataset, detections, {"operating": operating}, shower)
    assert [(look.kind, look.shown.image_id) for look in found] == [("badly located", "p0.jpg")]
    assert [outline.label for outline in found[0].shown.outlines] == ["", "pip 0.40"]


def test_without_detections_no_box_is_suspected(run: Run) -> None:
    assert looks(run) == []
    detect(run)
    assert looks(run) == []
