from typing import Any

import pytest

from boxloop.oracle.stopping import reason_to_stop
from boxloop.oracle_settings import StopConfig

OFF: dict[str, Any] = {"adoption_rate": 0.0}


def rounds(*differences: dict[str, Any]) -> list[dict[str, Any]]:
    """Return summaries of rounds that nothing stops, but for the differences of each."""
    usual: dict[str, Any] = {
        "pool": 50,
        "training_images": 250,
        "adopted": 40,
        "reviewed": 0,
        "agreement": 0.5,
    }
    usual |= {"map50_change_interval": [0.01, 0.05], "seconds": 100.0, "human_seconds": 30.0}
    return [usual | {"round": n} | given for n, given in enumerate(differences, start=1)]


def stop(summaries: list[dict[str, Any]], *, by: str = "both", **rules: Any) -> str | None:
    return reason_to_stop(summaries, StopConfig(**rules), by=by)


def test_a_round_that_adopts_enough_goes_on() -> None:
    assert stop([]) is None
    assert stop(rounds({}, {}, {})) is None
    assert stop(rounds({}, {"adopted": 5})) is None  # 5 / 250 is the limit itself


def test_a_weak_first_round_may_be_followed_by_another() -> None:
    assert stop(rounds({"adopted": 0})) is None
    assert "round 2 adopted 0 boxes" in str(stop(rounds({"adopted": 0}, {"adopted": 0})))


def test_the_adoption_rate_says_rule_value_and_limit() -> None:
    assert stop(rounds({}, {}, {}, {"adopted": 3})) == (
        "round 4 adopted 3 boxes, 1.2 % of its 250 images; the limit is 2 % (stop.adoption_rate)"
    )


def test_boxes_that_people_gave_count_as_adopted() -> None:
    assert stop(rounds({}, {"adopted": 3, "reviewed": 2})) is None
    assert stop(rounds({}, {"adopted": 1, "reviewed": 2})) == (
        "round 2 adopted 1 box and was given 2 boxes by people, 1.2 % of its 250 images; "
        "the limit is 2 % (stop.adoption_rate)"
    )


def test_only_the_last_round_counts_for_the_rate() -> None:
    assert stop(rounds({"adopted": 0}, {})) is None


def test_an_empty_pool_stops_before_all_else() -> None:
    for name in ("pool", "candidates"):
        summary = {"round": 2, name: 0, "training_images": 9, "adopted": 0}
        reason = "every image of the pool has a box: round 2 asked about none"
        assert stop([{"round": 1}, summary]) == reason


PLATEAU = rounds(
    {"map50_change_interval": None},
    {"map50_change_interval": [-0.01, 0.04]},
    {"map50_change_interval": [0.0, 0.02]},
)


def test_a_plateau_asks_for_so_many_rounds_on_end() -> None:
    assert stop(PLATEAU, plateau_rounds=2, **OFF) == (
        "what rounds 2 to 3 gained in mAP@0.5 may be chance: the change of round 3 is between "
        "+0.000 and +0.020; the limit is 2 such rounds on end (stop.plateau_rounds)"
    )
    assert stop(PLATEAU, plateau_rounds=3, **OFF) is None  # of round 1 it is not known
    assert stop(PLATEAU, plateau_rounds=4, **OFF) is None
    assert stop(PLATEAU, plateau_rounds=0, **OFF) is None
    assert stop([*PLATEAU, *rounds({})], plateau_rounds=1, **OFF) is None  # it rose again


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param({"agreement": 0.5}, "in 50 % of the pool's images; the limit is 50 %"),
        pytest.param({"agreement": 0.51}, None),
        pytest.param({"seconds": 200}, "rounds 1 to 2 took 200 s; the limit is 200 s"),
        pytest.param({"seconds": 201}, None),
        pytest.param({"images": 250}, "round 2 trained on 250 images; the limit is 250"),
        pytest.param({"images": 251}, None),
        pytest.param({"human_seconds": 60}, "people reviewed for 60 s in rounds 1 to 2; the limit"),
        pytest.param({"human_seconds": 61}, None),
    ],
)
def test_agreement_and_budgets_have_limits(rules: dict[str, Any], expected: str | None) -> None:
    reason = stop(rounds({}, {}), **rules)
    assert reason is None if expected is None else expected in str(reason)
    assert stop(rounds({}, {})) is None  # 0: not asked
    if expected:
        assert str(reason).endswith(f"(stop.{next(iter(rules))})")


def test_a_control_run_stops_by_plateau_and_budget_only() -> None:
    nothing = rounds({"pool": 0, "adopted": 0, "agreement": 1.0})
    assert stop(nothing, by="none", agreement=0.9) is None
    assert "stop.seconds" in str(stop(nothing, by="none", seconds=1))


def test_summaries_of_an_older_version_stop_by_what_they_say() -> None:
    old = [{"round": n, "training_images": 9, "candidates": 4, "adopted": 1} for n in (1, 2)]
    rules: dict[str, Any] = {
        "plateau_rounds": 1,
        "agreement": 0.1,
        "seconds": 1,
        "human_seconds": 1,
    }
    assert stop(old, **rules) is None
    assert stop([{"round": 1}], **rules) is None
    assert "stop.adoption_rate" in str(stop([old[0], {**old[1], "adopted": 0}]))
