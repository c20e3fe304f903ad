from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests import rounds
from tests.bundles import detect_with, make_bundle
from tests.inference.fakes import RedFinder

from boxloop import champion, comparison, local_run, steps, storage
from boxloop.artifacts import Champions, Library, Run
from boxloop.cli import main
from boxloop.data.dataset import DETECTION_COLUMNS, Dataset, read_dataset, to_parquet
from boxloop.library import Version, write_version
from boxloop.nightly_settings import PromotionConfig
from boxloop.promotion import promote
from boxloop.verdict import Change, judge
from boxloop.verification import prepare

NAME = "cards"
RULE = PromotionConfig()
LENIENT = PromotionConfig(min_class_boxes=1)


def finished(root: Path, name: str, share: float = 1.0, *, map50: float = 0.5) -> Run:
    """A run of one round whose detector found a share of the test boxes, and nothing wrong."""
    run = rounds.plan(root, name, **{"rounds": 1})
    steps.run_task("parse_annotations", run.uri, 1)
    rounds.run_round(
        run, 1, rounds.right_detections(run, 3), exported={"digest": f"bundle of {name}"}
    )
    dataset = read_dataset(run.dataset(1))
    truth = dataset.boxes_in(dataset.split("test"))
    found = truth.iloc[: round(share * len(truth))].assign(score=0.9, agreement=None)
    found = found[list(DETECTION_COLUMNS)].astype(DETECTION_COLUMNS)
    storage.write_bytes(run.evaluated_detections(1), to_parquet(found))
    storage.write_json(run.evaluation(1), {"map50": map50})
    storage.write_json(f"{run.model(1)}/bundle.json", {"digest": f"bundle of {name}"})
    storage.write_bytes(f"{run.weights(1)}/detector-1.index", name.encode())
    return run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three finished runs: one finds nothing, one all, one a half."""
    root = tmp_path_factory.mktemp("root")
    for name, share in (("nothing", 0.0), ("all", 1.0), ("half", 0.5)):
        finished(root, name, share)
    return root


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A champion of its own for each test."""
    return str(request.node.name)[:60].replace("[", "-").replace("]", "")


def ask(
    root: Path,
    run: str,
    name: str,
    config: PromotionConfig = RULE,
    began: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Ask for a promotion as if it had never been asked."""
    storage.delete(Run.of(str(root), run).decision)
    run_uri = Run.of(str(root), run).uri
    return promote(run_uri, root=str(root), name=name, config=config, by="test", began=began)


def test_the_first_detector_that_finds_anything_is_champion(root: Path, name: str) -> None:
    decision = ask(root, "half", name)
    assert decision["is_promoted"]
    best = champion.current(str(root), name)
    assert best is not None
    assert (best["number"], best["round"], best["bundle_digest"]) == (1, 1, "bundle of half")
    assert best["run_uri"] == str(root / "experiments" / "half")


def test_a_better_one_is_promoted_and_a_worse_one_is_not(root: Path, name: str) -> None:
    ask(root, "nothing", name)
    decision = ask(root, "all", name, LENIENT)
    assert decision["is_promoted"], decision["reason"]
    assert decision["change"]["value"] == pytest.approx(1.0)  # from nothing to all
    kept = ask(root, "half", name)
    assert not kept["is_promoted"]
    assert kept["reason"].startswith("Kept: the challenger is worse; mAP@0.5 -0.")
    assert [one["bundle_digest"] for one in champion.history(str(root), name)] == [
        "bundle of nothing",
        "bundle of all",
    ]


def test_an_equal_one_is_not_promoted(root: Path, name: str) -> None:
    ask(root, "all", name)
    finished(root, "twin", 1.0)
    assert ask(root, "twin", name)["reason"].startswith("Kept: the challenger is not better")


def test_a_decision_is_made_once(root: Path, name: str) -> None:
    first = ask(root, "half", name)
    run_uri = Run.of(str(root), "half").uri
    assert promote(run_uri, root=str(root), name=name, config=RULE, by="again") == first
    # cut off before the decision was written
    assert ask(root, "half", name)["is_promoted"]
    assert len(champion.history(str(root), name)) == 1


def test_of_two_that_promote_at_once_one_wins(root: Path, name: str) -> None:
    detectors = [champion.describe(Run.of(str(root), run), 1) for run in ("all", "half")] * 4

    def try_it(detector: dict[str, Any]) -> bool:
        try:
            champion.append(str(root), name, detector, 0, how="promoted", by="x", reason="y")
        except RuntimeError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(try_it, detectors)) == 1
    assert len(champion.history(str(root), name)) == 1


def test_rollback_is_a_record_that_points_back(root: Path, name: str) -> None:
    ask(root, "nothing", name)
    ask(root, "all", name)
    record = champion.roll_back(str(root), name, to=None, by="me")
    assert (record["number"], record["points_to"], record["how"]) == (3, 1, "rolled back")
    assert record["bundle_digest"] == "bundle of nothing"
    assert champion.roll_back(str(root), name, to=2, by="me")["bundle_digest"] == "bundle of all"
    assert len(champion.history(str(root), name)) == 4
    with pytest.raises(ValueError, match="no record 9: there are 1 to 4"):
        champion.roll_back(str(root), name, to=9, by="me")


def test_a_rollback_while_a_night_runs_is_not_undone_by_it(root: Path, name: str) -> None:
    ask(root, "nothing", name)
    ask(root, "half", name, LENIENT)
    champion.roll_back(str(root), name, to=None, by="me")
    decision = ask(root, "all", name, LENIENT, began={"champion": 2})
    assert not decision["is_promoted"]
    assert "began from record 2, the newest is record 3 (rolled back)" in decision["reason"]
    assert ask(root, "all", name, LENIENT, began={"champion": 3})["is_promoted"]


def test_a_second_rollback_goes_further_back(root: Path, name: str) -> None:
    for run in ("half", "nothing", "all"):
        champion.set_champion(str(root), name, f"{root}/experiments/{run}", round_number=1, by="me")
    back = [champion.roll_back(str(root), name, to=None, by="me") for _ in range(2)]
    assert [one["bundle_digest"] for one in back] == ["bundle of nothing", "bundle of half"]
    with pytest.raises(ValueError, match="no earlier detector"):
        champion.roll_back(str(root), name, to=None, by="me")


def test_a_promotion_that_was_rolled_back_makes_no_event(root: Path, name: str) -> None:
    ask(root, "nothing", name)
    decision = ask(root, "all", name, LENIENT)
    event = champion.event_of(decision, str(root))
    assert event is not None
    assert (event["name"], event["record"], event["round"]) == (name, 2, 1)
    champion.roll_back(str(root), name, to=None, by="me")
    assert champion.event_of(decision, str(root)) is None
    assert champion.event_of(ask(root, "all", name, LENIENT), str(root)) is None


def test_another_run_of_the_same_bundle_is_not_its_own_promotion(root: Path, name: str) -> None:
    ask(root, "nothing", name)
    ask(root, "all", name, LENIENT)
    same = finished(root, "same bundle", 1.0)
    storage.write_json(f"{same.model(1)}/bundle.json", {"digest": "bundle of all"})
    decision = ask(root, "same bundle", name, LENIENT)
    assert not decision["is_promoted"]
    assert decision["reason"] == "Kept: the challenger is the champion itself."


def test_a_decision_made_again_is_compared_with_the_champion_before(root: Path, name: str) -> None:
    ask(root, "nothing", name)
    first = ask(root, "all", name, LENIENT)
    assert ask(root, "all", name, LENIENT) == first
    assert first["champion"]["bundle_digest"] == "bundle of nothing"


def test_rollback_refuses_other_weights(root: Path, name: str) -> None:
    run = finished(root, "retrained", 0.2)
    champion.set_champion(str(root), name, run.uri, round_number=1, by="me")
    ask(root, "all", name)
    storage.write_bytes(f"{run.weights(1)}/detector-1.index", b"trained anew")
    with pytest.raises(ValueError, match="another model than that of record 1"):
        champion.roll_back(str(root), name, to=None, by="me")


def test_rollback_refuses_a_detector_that_is_another_by_now(root: Path, name: str) -> None:
    run = finished(root, "changed", 0.2)
    champion.set_champion(str(root), name, run.uri, round_number=1, by="me")
    ask(root, "all", name)
    storage.write_json(f"{run.model(1)}/bundle.json", {"digest": "exported anew"})
    with pytest.raises(ValueError, match="another model"):
        champion.roll_back(str(root), name, to=1, by="me")


def test_a_champion_may_be_set(root: Path, name: str) -> None:
    record = champion.set_champion(
        str(root), name, f"{root}/experiments/half", round_number=None, by="me"
    )
    assert (record["how"], record["round"]) == ("set", 1)
    with pytest.raises(ValueError, match="no round 2"):
        champion.set_champion(str(root), name, f"{root}/experiments/half", round_number=2, by="me")


def test_the_command_shows_the_history(
    root: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--name", name, "--root", str(root)]
    assert main(["champion", "show", *where]) == 1
    assert main(["champion", "set", f"{root}/experiments/all", *where]) == 0
    assert main(["champion", "set", f"{root}/experiments/half", *where]) == 0
    assert main(["champion", "rollback", *where]) == 0
    capsys.readouterr()
    assert main(["champion", "show", "--history", *where]) == 0
    shown = capsys.readouterr().out
    assert [line[0] for line in shown.splitlines() if line[:1].isdigit()] == ["1", "2", "3"]
    assert "back to record 1" in shown
    assert storage.exists(Champions.of(str(root), name).record(3))


def change(value: float, low: float, high: float, name: str = "all classes") -> Change:
    return Change(name, value, low, high)


def test_a_gain_must_be_worth_it() -> None:
    rule = PromotionConfig(min_gain=0.1)
    assert judge(0.5, change(0.2, 0.1, 0.3), (), rule).is_promoted
    assert "min_gain" in judge(0.5, change(0.05, 0.01, 0.09), (), rule).reason


def test_a_class_may_not_fall_beyond_its_noise() -> None:
    better = change(0.2, 0.1, 0.3)
    noisy = change(-0.15, -0.7, 0.1, "ace")  # may be chance
    sure = change(-0.3, -0.4, -0.2, "king")
    assert judge(0.5, better, [noisy], RULE).is_promoted
    verdict = judge(0.5, better, [noisy, sure], RULE)
    assert not verdict.is_promoted
    assert "king -0.300" in verdict.reason
    assert "ace" not in verdict.reason


@pytest.mark.parametrize(
    "fall",
    [
        pytest.param(Change("ace", -0.1, None, None), id="without an interval"),
        pytest.param(Change("ace", -0.3, -0.9, 0.2), id="too large to be called noise"),
    ],
)
def test_a_fall_that_cannot_be_told_from_noise_is_still_a_fall(fall: Change) -> None:
    verdict = judge(0.5, change(0.2, 0.1, 0.3), [fall], RULE)
    assert not verdict.is_promoted
    assert "ace" in verdict.reason


def test_classes_that_nobody_looked_at_are_named() -> None:
    verdict = judge(0.5, change(0.2, 0.1, 0.3), (), RULE, ["king", "queen"])
    assert verdict.is_promoted
    assert verdict.reason.endswith("Too few boxes in the test set to look at: king, queen.")


def test_a_run_that_was_trained_on_the_test_set_is_no_champion(root: Path, name: str) -> None:
    run = Run.of(str(root), "half")
    data = read_dataset(run.dataset(1))
    swap = {"train": "test", "test": "train"}
    split = data.images["split"].replace(swap).astype("string")
    other = Dataset(data.images.assign(split=split), data.boxes)
    library = Library.of(str(root), name)
    digest = write_version(library, Version(other, data.boxes[:0]))
    storage.write_json(library.night(1), {"version": digest})
    with pytest.raises(ValueError, match="was trained on"):
        champion.set_champion(str(root), name, run.uri, round_number=1, by="me")
    digest = write_version(library, Version(data, data.boxes[:0]))
    storage.write_json(library.night(2), {"version": digest})
    assert champion.set_champion(str(root), name, run.uri, round_number=1, by="me")["number"] == 1


def test_detections_of_another_engine_are_not_used_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(local_run, "run_logged", lambda _, what: asked.append(what))
    run = finished(root, "engine")
    best = champion.describe(run, 1)
    test = comparison._test_set(run, best, best)
    comparison._champion_detections(run, 1, best, test)  # the same engine: as stored
    assert not asked
    other = finished(root, "other engine")
    storage.write_json(other.evaluation(1), {"map50": 0.5, "engine": "Another"})
    with pytest.raises(FileNotFoundError):  # it is asked again, and has not answered
        comparison._champion_detections(other, 1, best, test)
    assert len(asked) == 1


def test_what_a_champion_detected_has_digests(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.of(str(root), "half")
    detect_with(RedFinder(), monkeypatch)
    bundle = make_bundle(tmp_path / "model")
    digest = storage.read_json(f"{bundle}/bundle.json")["digest"]
    comparison.detect_with_champion(str(bundle), digest, run.uri, 1)
    found = {one.name: one.state for one in prepare(run.uri, with_images=False).findings()}
    file = "promotion/champion_detections.parquet"
    assert (found[file], found[f"{file}.json"]) == ("ok", "ok")


@pytest.mark.parametrize("map50", [None, 0.0])
def test_a_first_detector_that_finds_nothing_is_no_champion(map50: float | None) -> None:
    assert not judge(map50, None, (), RULE).is_promoted


def test_too_few_images_decide_nothing() -> None:
    unknown = Change("all classes", 0.9, None, None)
    assert "too little" in judge(0.9, unknown, (), RULE).reason
