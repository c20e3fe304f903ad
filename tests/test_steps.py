import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.rounds import MICRO, plan, pretend, right_detections, run_round

from boxloop import steps, storage
from boxloop.artifacts import Run
from boxloop.data import demo
from boxloop.data.dataset import (
    from_parquet,
    read_dataset,
)
from boxloop.experiment import read_experiment


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an artifact root where the demo data need be drawn but once."""
    return tmp_path_factory.mktemp("root")


@pytest.fixture
def run_id(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


def test_a_run_that_asks_for_weights_the_model_lacks_is_not_planned(
    root: Path, run_id: str
) -> None:
    with pytest.raises(ValueError, match="retinanet_lite0_64 has no pretrained detector"):
        plan(root, run_id, **{"train.start": "detector"})
    assert not storage.exists(Run.of(str(root), run_id).experiment)


def test_a_plan_has_a_spec_for_each_round_and_keeps_the_settings(root: Path, run_id: str) -> None:
    overrides = {"rounds": 3, "train.steps": None, "seed": 4}
    specs = steps.plan_rounds(MICRO, root=str(root), experiment_id=run_id, overrides=overrides)
    uri = str(root / "experiments" / run_id)
    assert specs == [{"run_uri": uri, "round_number": n} for n in (1, 2, 3)]
    kept = storage.read_bytes(Run(uri).experiment).decode()
    assert "rounds: 3" in kept
    assert "seed: 4" in kept
    assert "steps: 2" in kept
    assert f"uri: {root}/data/demo_seed_4" in kept


def test_a_run_is_not_planned_twice_with_other_settings(root: Path, run_id: str) -> None:
    plan(root, run_id)
    plan(root, run_id)
    with pytest.raises(ValueError, match=r"train.steps is 2, not 3; choose another experiment id"):
        plan(root, run_id, **{"train.steps": 3})


def test_a_run_may_be_given_more_rounds_and_other_rules_to_stop_by(root: Path, run_id: str) -> None:
    run = plan(root, run_id)
    pretend(run, 1, "parse_annotations", {"done": 1})
    calm = storage.list_files(run.uri)
    run = plan(root, run_id, **{"rounds": 5, "stop.images": 99})
    assert read_experiment(run.experiment).stop.images == 99
    assert [read_experiment(run.experiment).rounds, storage.list_files(run.uri)] == [5, calm]
    assert steps.finished_value(run, 1, "parse_annotations") == {"done": 1}


def test_a_run_may_not_have_fewer_rounds_than_are_finished(root: Path, run_id: str) -> None:
    run = plan(root, run_id)
    for number in (1, 2):
        storage.write_json(run.summary(number), {})
    with pytest.raises(ValueError, match=r"has 2 finished rounds.*rollback .* --round 2"):
        plan(root, run_id, rounds=1)
    plan(root, run_id, rounds=2)


def test_the_settings_of_an_older_version_stay_as_they_are_written(root: Path, run_id: str) -> None:
    run = plan(root, run_id)
    old = {**yaml.safe_load(storage.read_bytes(run.experiment))}
    del old["review"], old["stop"]
    old["oracle"] = {"mode": "label_match", "min_score": 0.0, "doubt_score": 0.01}
    old["oracle"]["target_precision"] = 0.01
    storage.write_bytes(run.experiment, yaml.safe_dump(old).encode())
    pretend(run, 1, "parse_annotations", {"done": 1})
    plan(root, run_id, **{"rounds": 4, "oracle.mode": "study"})
    kept = yaml.safe_load(storage.read_bytes(run.experiment))
    assert kept.pop("stop")["adoption_rate"] == 0
    assert kept == old | {"rounds": 4}
    assert steps.finished_value(run, 1, "parse_annotations") == {"done": 1}


def test_images_go_into_shards_unchanged(root: Path, run_id: str) -> None:
    run = plan(root, run_id)
    steps.run_task("parse_annotations", run.uri, 1)
    shards = steps.run_task("write_tfrecords", run.uri, 1)["shards"]
    written = b"".join(storage.read_bytes(uri) for uri in shards["train"])
    images = read_dataset(run.dataset(1)).split("train")
    assert len(images) == 16
    assert all(storage.read_bytes(uri) in written for uri in images["uri"])


def test_a_later_round_writes_only_what_was_adopted(root: Path, run_id: str) -> None:
    run = plan(root, run_id)
    steps.run_task("parse_annotations", run.uri, 1)
    first = run_round(run, 1, right_detections(run, 3))
    assert (first["training_images"], first["adopted"], first["pool"]) == (16, 3, 24)
    assert first["rejected"] == {"nothing detected": 21}
    assert first["unreadable"] == {"x.jpg": "it is a folder"}
    for task in ("parse_annotations", "write_tfrecords"):
        value = steps.run_task(task, run.uri, 2)
    assert value["examples"] == 19
    assert [Path(uri).parts[-3] for uri in value["shards"]["train"]] == ["round_01", "round_02"]
    assert [Path(uri).parts[-3] for uri in value["shards"]["test"]] == ["round_01"]
    adopted = read_dataset(run.dataset(2)).boxes.query("origin == 'adopted'")
    assert adopted["image_id"].tolist() == right_detections(run, 3)["image_id"].tolist()


def test_what_was_adopted_is_judged_again(root: Path, run_id: str) -> None:
    run = plan(root, run_id, **{"stop.adoption_rate": 0.02, "oracle.class_cap": 0})
    steps.run_task("parse_annotations", run.uri, 1)
    detections = right_detections(run, 24)
    run_round(run, 1, detections.head(20))
    second = run_round(run, 2, detections[10:])
    counts = [second[name] for name in ("pool", "adopted", "kept", "moved", "withdrawn")]
    assert counts == [24, 4, 10, 0, 10]
    assert second["rejected"] == {"nothing detected": 10}
    boxes = read_dataset(run.dataset(3)).standing
    assert boxes["round"].tolist() == [1] * 10 + [2] * 4
    assert steps.check_previous_round(run.uri, 3) is None  # 4 of 36 images
    third = run_round(run, 3, detections[10:])
    assert (third["adopted"], third["kept"], third["agreement"]) == (0, 14, 1.0)
    assert "stop.adoption_rate" in str(steps.check_previous_round(run.uri, 4))


def test_by_the_study_s_rule_an_adopted_image_is_not_looked_at_again(
    root: Path, run_id: str
) -> None:
    run = plan(root, run_id, **{"oracle.mode": "study"})
    steps.run_task("parse_annotations", run.uri, 1)
    run_round(run, 1, right_detections(run, 24))
    steps.run_task("parse_annotations", run.uri, 2)
    for name in ("write_tfrecords", "train", "export"):
        pretend(run, 2, name, {})
    assert steps.run_task("predict", run.uri, 2)["images"] == 0
    second = run_round(run, 2, right_detections(run, 0))
    assert (second["adopted"], second["kept"], second["withdrawn"]) == (0, 24, 0)


def test_an_image_that_cannot_be_read_keeps_its_box(root: Path, run_id: str) -> None:
    run = plan(root, run_id)
    steps.run_task("parse_annotations", run.uri, 1)
    detections = right_detections(run, 2)
    run_round(run, 1, detections)
    lost = str(detections["image_id"][0])
    second = run_round(run, 2, detections[1:], unreadable={lost: "it is a folder"})
    assert (second["kept"], second["withdrawn"]) == (2, 0)


@pytest.mark.parametrize(("by", "pool"), [("labels", 23), ("both", 24)])
def test_people_are_asked_about_images_without_a_label(
    root: Path, run_id: str, tmp_path: Path, by: str, pool: int
) -> None:
    plan(root, run_id)
    drawn = root / "data" / "demo_seed_1"
    data = shutil.copytree(drawn, tmp_path / "data")
    lines = (data / "image_labels.csv").read_text().splitlines()
    row = next(number for number, line in enumerate(lines) if line.endswith(",pool"))
    bare = lines[row].split(",")[0]
    lines[row] = f"{bare},,pool"
    (data / "image_labels.csv").write_text("\n".join(lines))
    run = plan(root, f"{run_id}_{by}", **{"data.uri": str(data), "oracle.by": by})
    steps.run_task("parse_annotations", run.uri, 1)
    images = read_dataset(run.dataset(1)).split("pool")
    assert (len(images), bare in set(images["image_id"])) == (pool, by == "both")
    if by == "both":
        found = right_detections(run, 24).assign(class_name="bracken")
        assert run_round(run, 1, found)["pool"] == 24
        queue = from_parquet(storage.read_bytes(run.queue(1))).set_index("image_id")
        assert queue["image_label"].isna().to_dict()[bare]
        assert bare not in set(read_dataset(run.dataset(2)).standing["image_id"])


def test_a_fifth_of_the_boxed_images_can_play_the_pool(root: Path, run_id: str) -> None:
    run = plan(root, run_id, **{"oracle.hidden_share": 0.25})
    counts = steps.run_task("parse_annotations", run.uri, 1)["splits"]
    assert 2 <= counts["pool"] - 24 == 16 - counts["train"] <= 8
    dataset = read_dataset(run.dataset(1))
    hidden = dataset.images[dataset.images["is_hidden"]]
    assert set(hidden["split"]) == {"pool"}
    assert not dataset.boxes["image_id"].isin(hidden["image_id"]).any()
    truth = from_parquet(storage.read_bytes(run.truth))
    assert set(hidden["image_id"]) <= set(truth["image_id"])
    assert set(dataset.class_names) == set(truth["class_name"])
    whole = dataset.unhidden(truth)
    assert len(whole.split("train")) == 16
    assert set(whole.boxes.loc[whole.boxes["image_id"].isin(hidden["image_id"]), "origin"]) == {
        "human"
    }
    assert not whole.boxes["image_id"].isin(whole.split("pool")["image_id"]).any()


def test_without_an_oracle_nothing_joins_and_nothing_stops(root: Path, run_id: str) -> None:
    run = plan(root, run_id, **{"oracle.by": "none"})
    steps.run_task("parse_annotations", run.uri, 1)
    summary = run_round(run, 1, right_detections(run, 24))
    pretend(run, 2, "parse_annotations", {})
    for name in ("write_tfrecords", "train", "export", "evaluate"):
        pretend(run, 2, name, {})
    assert steps.run_task("predict", run.uri, 2)["images"] == 0
    assert (summary["pool"], summary["adopted"]) == (0, 0)
    assert steps.check_previous_round(run.uri, 2) is None


def test_the_truth_of_the_pool_stays_out_of_the_dataset(root: Path, run_id: str) -> None:
    run = plan(root, run_id)
    steps.run_task("parse_annotations", run.uri, 1)
    dataset = read_dataset(run.dataset(1))
    truth = from_parquet(storage.read_bytes(run.truth))
    pool = set(dataset.split("pool")["image_id"])
    assert set(truth["image_id"]) == pool
    assert not pool & set(dataset.boxes["image_id"])


def test_nothing_is_drawn_where_boxloop_cannot_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^data\.uri: https://\.\.\. is no place of files"):
        plan(tmp_path / "runs", "run", **{"data.uri": "https://user:pass@host/x"})
    assert not list(tmp_path.rglob("*.jpg"))


def test_drawing_that_was_killed_is_done_again(
    tmp_path: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(demo, "_write_labels", die)
        with pytest.raises(KeyboardInterrupt):
            plan(tmp_path, run_id)
    assert list((tmp_path / "data").rglob("*.jpg"))
    plan(tmp_path, run_id)
    assert list((tmp_path / "data").rglob("image_labels.csv"))


def test_of_two_that_export_the_second_waits_and_finds_all_done(
    root: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = plan(root, run_id)
    storage.write_json(run.marker(1, "train"), {"fingerprint": "", "value": {}})
    begun: list[float] = []

    def export(run: Run, round_number: int) -> Any:
        begun.append(time.monotonic())
        time.sleep(0.5)
        storage.write_json(f"{run.model(round_number)}/bundle.json", {})
        return {"model_uri": run.model(round_number)}

    monkeypatch.setattr(steps, "export", export)
    with ThreadPoolExecutor(2) as pool:
        values = list(pool.map(steps.run_task, ["export"] * 2, [run.uri] * 2, [1] * 2))
    assert values == [{"model_uri": run.model(1)}] * 2
    assert len(begun) == 1
    assert not storage.exists(run.export_lease(1))
