"""What the rounds of a night begin with: the library, carried boxes, and the champion's weights."""

from pathlib import Path
from typing import Any

import pytest
from tests import rounds
from tests.nights import Nights, box
from tests.test_champion import finished

from boxloop import champion, nightly_beginning, steps, storage, training
from boxloop.artifacts import Run
from boxloop.data.dataset import read_dataset
from boxloop.experiment import read_experiment
from boxloop.train_settings import TrainConfig


@pytest.fixture(scope="module")
def champions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact root with a finished run that adopted three boxes, and is champion."""
    root = tmp_path_factory.mktemp("root")
    run = finished(root, "first")
    storage.write_json(
        f"{run.model(1)}/bundle.json",
        {"digest": "bundle of first", "classes": read_dataset(run.dataset(1)).class_names},
    )
    champion.set_champion(str(root), "nightly", run.uri, round_number=1, by="me")
    return root


@pytest.fixture(scope="module")
def nights(champions: Path, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """Nights on top of that champion."""
    nights = Nights(tmp_path_factory.mktemp("nights"), experiment=rounds.MICRO)
    nights.root = champions
    return nights


@pytest.fixture(scope="module")
def taken(champions: Path, nights: Nights) -> dict[str, Any]:
    """A night on top of that champion, with an image of its pool boxed by a person."""
    adopted = read_dataset(Run.of(str(champions), "first").dataset(2)).standing
    image = read_dataset(Run.of(str(champions), "first").dataset(1)).images.set_index("image_id")
    name = adopted["image_id"].iloc[0]
    nights.put("images/mine.jpg", Path(image.loc[name, "uri"]).read_bytes())
    nights.arrive("x.png", 1, [box(image.loc[name, "image_label"])])
    nights.put("annotations/mine.xml", (nights.inbox / "annotations/x.xml").read_bytes())
    (nights.inbox / "images/x.png").unlink()
    value = nights.take_in("second")
    return {**value, "boxed": name, "adopted": adopted}


def test_adopted_boxes_stay_with_their_origin_but_where_people_drew(
    taken: dict[str, Any],
) -> None:
    start = read_dataset(taken["overrides"]["data.version"])
    assert taken["taken"] == 1
    stood = taken["adopted"]["image_id"]
    assert set(start.standing["image_id"]) == set(stood) - {taken["boxed"]}
    assert set(start.standing["model"]) == {"retinanet_lite0_64"}
    own = start.boxes[start.boxes["image_id"] == taken["boxed"]]
    assert own["origin"].tolist() == ["human"]


def test_the_test_set_is_that_of_the_first_champion(taken: dict[str, Any], champions: Path) -> None:
    first = read_dataset(Run.of(str(champions), "first").dataset(1)).split("test")
    now = read_dataset(taken["overrides"]["data.version"]).split("test")
    assert now[["image_id", "sha256"]].equals(first[["image_id", "sha256"]])


def test_the_rounds_are_planned_and_begin_with_that_version(
    taken: dict[str, Any], champions: Path
) -> None:
    specs = steps.plan_rounds(
        taken["experiment"],
        root=str(champions),
        experiment_id="second",
        overrides=taken["overrides"],
    )
    run = Run(specs[0]["run_uri"])
    steps.run_task("parse_annotations", run.uri, 1)
    start = read_dataset(taken["overrides"]["data.version"])
    assert read_dataset(run.dataset(1)).boxes.equals(start.boxes)
    best = champion.current(str(champions), "nightly")
    train = read_experiment(run.experiment).train
    assert best is not None
    assert train.continue_digest == best["weights_digest"]
    before = training._weights_before(run, 1, train, start.class_names)
    assert before == Run.of(str(champions), "first").weights(1)
    storage.write_bytes(f"{run.weights(1)}/checkpoint", b"of round 1")
    assert training._weights_before(run, 2, train, start.class_names) == run.weights(1)


def test_other_weights_or_classes_are_refused(champions: Path) -> None:
    run = Run.of(str(champions), "first")
    names = read_dataset(run.dataset(1)).class_names
    other = TrainConfig(continue_from=run.round(1), continue_digest="0" * 64)
    with pytest.raises(ValueError, match="changed since"):
        training._weights_before(run, 1, other, names)
    same = TrainConfig(continue_from=run.round(1))
    with pytest.raises(ValueError, match=r"knows the classes .* the data have ace"):
        training._weights_before(run, 1, same, ["ace"])
    with pytest.raises(ValueError, match="previous_round"):
        TrainConfig(continue_from=run.round(1), start="nothing")


def test_a_version_hides_no_boxes(taken: dict[str, Any], champions: Path) -> None:
    overrides = {**taken["overrides"], "oracle.hidden_share": 0.5}
    specs = steps.plan_rounds(
        taken["experiment"], root=str(champions), experiment_id="hides", overrides=overrides
    )
    with pytest.raises(ValueError, match="hidden_share"):
        steps.run_task("parse_annotations", specs[0]["run_uri"], 1)


def test_with_other_classes_the_rounds_begin_anew(
    champions: Path, taken: dict[str, Any], nights: Nights
) -> None:
    best = champion.current(str(champions), "nightly")
    assert best is not None
    start = read_dataset(taken["overrides"]["data.version"])
    why = nightly_beginning.why_anew(nights.night("x"), {**best, "class_names": ["ace"]}, start)
    assert why is not None
    assert "knows ace, the library has bracken" in why


def test_another_model_begins_without_weights_and_says_so(
    champions: Path, tmp_path: Path, taken: dict[str, Any]
) -> None:
    other = Nights(tmp_path, experiment=rounds.MICRO)
    other.root = champions
    other.set(settings={"model.overrides": {"task.model.min_level": 4}})
    value = other.take_in("another model")
    assert "train.continue_from" not in value["overrides"]
    assert "without the champion's weights" in value["reason"]
    began = other.night("another model").began
    assert began is not None
    assert began["anew"] in value["reason"]


def test_a_night_again_begins_from_the_same_champion(
    champions: Path, taken: dict[str, Any], nights: Nights
) -> None:
    last = len(champion.history(str(champions), "nightly"))
    assert nights.night("second").began["champion"] == last  # type: ignore[index]
    other = finished(champions, "other")
    champion.set_champion(str(champions), "nightly", other.uri, round_number=1, by="me")
    again = nights.take_in("second")
    champion.roll_back(str(champions), "nightly", to=1, by="me")
    assert again["overrides"] == taken["overrides"]


@pytest.mark.parametrize(
    "settings", [{"train.start": "detector"}, {"oracle.hidden_share": 0.2}], ids=str
)
def test_settings_that_no_night_could_use_are_refused_at_once(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    nights = Nights(tmp_path, settings=settings)
    with pytest.raises(ValueError, match=next(iter(settings))):
        nights.night("a")


def test_a_plan_names_weights_that_are_not_there(champions: Path) -> None:
    overrides = {"train.continue_from": str(champions / "nowhere")}
    with pytest.raises(FileNotFoundError, match=r"train\.continue_from: .*nowhere has no model"):
        steps.plan_rounds(
            rounds.MICRO, root=str(champions), experiment_id="lost", overrides=overrides
        )
