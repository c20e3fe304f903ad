from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.data.dataset import BOX_COLUMNS, IMAGE_COLUMNS, Dataset, build_table
from boxloop.data.splits import assign_splits, deal, main_classes, name_groups, split_table

SEEDS = range(5)


def images_of(num_by_stratum: dict[str, int], group_size: int = 1) -> pd.DataFrame:
    rows = [
        (f"{stratum}_{number}", stratum, f"{stratum}_{number // group_size}")
        for stratum, num in num_by_stratum.items()
        for number in range(num)
    ]
    return pd.DataFrame(rows, columns=["image_id", "stratum", "group"], dtype="string")


def dealt(
    images: pd.DataFrame,
    share: float,
    *,
    seed: int,
    leave: int,
    decided: list[bool | None] | None = None,
) -> set[str]:
    known = None if decided is None else pd.Series(decided, index=images.index, dtype="boolean")
    is_dealt = deal(images, share, seed=seed, name="test", leave=leave, decided=known)
    return set(images.loc[is_dealt, "image_id"])


def count(image_ids: set[str]) -> Counter[str]:
    return Counter(image_id.split("_")[0] for image_id in image_ids)


@pytest.mark.parametrize("group_size", [1, 5, 20])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_stratum_gives_about_its_share(seed: int, group_size: int) -> None:
    # groups of a binomial of 2000 / size and 0.2: 400 images, and 18 sqrt(size) as deviation
    found = count(dealt(images_of({"a": 2000, "b": 2000}, group_size), 0.2, seed=seed, leave=2))
    assert found["a"] == pytest.approx(400, abs=4 * 18 * group_size**0.5)
    assert found["b"] == pytest.approx(400, abs=4 * 18 * group_size**0.5)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rare_stratum_gives_one_where_its_share_is_less(seed: int) -> None:
    rare = dict.fromkeys("bcdef", 3)
    found = count(dealt(images_of({"a": 100, **rare}), 0.01, seed=seed, leave=2))
    assert all(found[name] == 1 for name in rare)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stratum_too_small_to_leave_enough_gives_nothing(seed: int) -> None:
    found = count(dealt(images_of({"a": 10, "b": 2}), 0.5, seed=seed, leave=2))
    assert found["a"] >= 1
    assert found["b"] == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_what_must_stay_stays_however_large_the_share(seed: int) -> None:
    assert count(dealt(images_of({"a": 4, "b": 3}), 1.0, seed=seed, leave=2)) == {"a": 2, "b": 1}


@pytest.mark.parametrize("seed", SEEDS)
def test_strata_that_are_all_too_small_are_dealt_as_one(seed: int) -> None:
    one_each = images_of(dict.fromkeys("abcde", 1))
    assert 1 <= len(dealt(one_each, 0.4, seed=seed, leave=2)) <= 3
    assert dealt(one_each[:2], 0.4, seed=seed, leave=2) == set()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("group_size", [2, 3, 7])
def test_groups_stay_together(seed: int, group_size: int) -> None:
    images = images_of({"a": 40, "b": 15}, group_size)
    found = dealt(images, 0.3, seed=seed, leave=1)
    is_found = images["image_id"].isin(found)
    assert set(images.loc[images["group"].isin(images.loc[is_found, "group"]), "image_id"]) == found


@pytest.mark.parametrize("seed", SEEDS)
def test_order_of_the_images_plays_no_part(seed: int) -> None:
    images = images_of({"a": 30, "b": 9}, group_size=2)
    assert dealt(images[::-1], 0.3, seed=seed, leave=1) == dealt(images, 0.3, seed=seed, leave=1)


def test_another_seed_or_name_is_another_choice() -> None:
    images = images_of({"a": 30})
    assert len({frozenset(dealt(images, 0.3, seed=seed, leave=1)) for seed in SEEDS}) == len(SEEDS)
    test, boxed = (deal(images, 0.3, seed=1, name=name, leave=1) for name in ("test", "boxed"))
    assert not test.equals(boxed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_larger_share_takes_what_a_smaller_one_takes(seed: int) -> None:
    images = images_of({"a": 100, "b": 12})
    assert dealt(images, 0.2, seed=seed, leave=0) < dealt(images, 0.5, seed=seed, leave=0)


def test_a_group_belongs_to_the_stratum_of_most_of_its_images() -> None:
    rows = [("x1", "b", "g"), ("x2", "b", "g"), ("x3", "a", "g")]
    mixed = pd.DataFrame(rows, columns=["image_id", "stratum", "group"])
    found = dealt(pd.concat([images_of({"a": 2}), mixed], ignore_index=True), 1.0, seed=0, leave=1)
    # "b" has one group only, so it stays; of "a", one of two goes
    assert count(found) == {"a": 1}


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_decided_counts_for_its_stratum(seed: int) -> None:
    images = images_of({"a": 3, "b": 3})
    # "a" has one already and gives no more; of "b" one must stay, and one does
    decided = [True, None, None, False, None, None]
    assert dealt(images, 1e-9, seed=seed, leave=1, decided=decided) >= {"a_0"}
    assert count(dealt(images, 1e-9, seed=seed, leave=1, decided=decided)) == {"a": 1, "b": 1}
    assert count(dealt(images, 1.0, seed=seed, leave=1, decided=decided)) == {"a": 2, "b": 2}


def test_nothing_is_dealt_of_no_images() -> None:
    assert dealt(images_of({}), 0.5, seed=1, leave=1) == set()


@given(
    kept=st.lists(st.booleans(), min_size=200, max_size=200),
    seed=st.integers(0, 2**32),
    share=st.floats(0.01, 1),
)
@settings(max_examples=25)
def test_no_image_hangs_on_the_others_of_a_well_filled_stratum(
    kept: list[bool], seed: int, share: float
) -> None:
    images = images_of({"a": 200})
    every = deal(images, share, seed=seed, name="test", leave=0)
    some = deal(images[pd.Series(kept)], share, seed=seed, name="test", leave=0)
    # no more than the fill-in for a stratum that would be without any
    assert (some != every[some.index]).sum() <= 1
    if every[some.index].any():
        assert some.equals(every[some.index])


def test_groups_are_named_after_their_first_image() -> None:
    assert name_groups({"c": "7", "b": "7", "a": "3"}) == {"c": "b", "b": "b", "a": "a"}


def table(given: list[str | None], is_boxed: list[bool], start: int = 0) -> pd.DataFrame:
    names = [f"image_{number:03d}" for number in range(start, start + len(given))]
    return pd.DataFrame({"image_id": names, "stratum": "a", "group": names}).assign(
        given=pd.array(given, dtype="string"), is_boxed=is_boxed
    )


def assign(
    images: pd.DataFrame, previous: dict[str, str] | None = None, seed: int = 1
) -> dict[str, str]:
    splits = assign_splits(
        images, seed=seed, test_share=0.2, validation_share=0.1, previous=previous
    )
    return dict(zip(images["image_id"], splits, strict=True))


def test_given_splits_are_followed() -> None:
    names = ["train", "pool", "validation", "test"]
    assert list(assign(table([*names], [True] * 4)).values()) == names


def test_images_without_boxes_play_the_pool() -> None:
    images = table(["train", None, "train", None, "test", "validation"], [False] * 2 + [True] * 4)
    splits = ["pool", "pool", "train", "train", "test", "validation"]
    assert list(assign(images).values()) == splits


def test_missing_splits_are_dealt_from_boxed_images() -> None:
    dealt = Counter(assign(table([None] * 2000, [True] * 1900 + [False] * 100)).values())
    # 20 % of 1900 for the test (380 +- 17), then 10 % of the 1520 others (152 +- 12)
    assert dealt["test"] == pytest.approx(380, abs=4 * 17)
    assert dealt["validation"] == pytest.approx(152, abs=4 * 12)
    assert dealt["pool"] == 100


def test_a_split_that_is_given_is_not_added_to() -> None:
    dealt = Counter(assign(table(["test"] + [None] * 50, [True] * 51)).values())
    assert dealt["test"] == 1
    assert dealt["validation"] >= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_images_that_are_added_move_no_other(seed: int) -> None:
    first = assign(table([None] * 500, [True] * 500), seed=seed)
    more = assign(table([None] * 900, [True] * 900), seed=seed)
    assert {image_id: more[image_id] for image_id in first} == first


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("num", [1, 2, 3, 5, 9])
def test_with_the_previous_splits_not_even_a_small_class_moves(num: int, seed: int) -> None:
    first = assign(table([None] * num, [True] * num), seed=seed)
    more = assign(table([None] * 100, [True] * 100), previous=first, seed=seed)
    assert {image_id: more[image_id] for image_id in first} == first


def test_another_seed_moves_nothing_that_has_a_previous_split() -> None:
    images = table([None] * 60, [True] * 50 + [False] * 10)
    first = assign(images, seed=1)
    assert assign(images, previous=first, seed=2) == first != assign(images, seed=2)


@pytest.mark.parametrize(
    ("given", "is_boxed", "previous", "split"),
    [
        pytest.param("test", True, "train", "test", id="given wins"),
        pytest.param("train", True, "test", "train", id="train is given, and so is test"),
        pytest.param("train", True, "validation", "validation", id="validation was dealt"),
        pytest.param("pool", True, "validation", "pool", id="pool is given"),
        pytest.param(None, True, "test", "test", id="beside a given test list"),
        pytest.param(None, True, "pool", "train", id="boxed since"),
        pytest.param(None, False, "train", "pool", id="no boxes any more"),
        pytest.param(None, False, "test", "test", id="held out without boxes"),
    ],
)
def test_given_wins_over_previous_and_previous_over_dealing(
    given: str | None, is_boxed: bool, previous: str, split: str
) -> None:
    images = table([given, "test", *[None] * 40], [is_boxed] + [True] * 41)
    for seed in SEEDS:
        assert assign(images, {"image_000": previous}, seed)["image_000"] == split


@pytest.mark.parametrize(
    ("previous", "split"),
    [
        pytest.param({"image_000": "validation", "image_001": "train"}, "validation", id="one"),
        pytest.param({"image_000": "validation", "image_001": "test"}, "test", id="the stronger"),
        pytest.param({"image_000": "pool", "image_001": "train"}, "train", id="train"),
    ],
)
def test_a_new_image_follows_its_near_duplicates(previous: dict[str, str], split: str) -> None:
    images = table([None] * 40, [True] * 40)
    images.loc[:2, "group"] = "image_000"
    for seed in SEEDS:
        assert assign(images, previous, seed)["image_002"] == split


def test_a_new_image_without_boxes_stays_in_the_pool_beside_a_test_image() -> None:
    images = table([None] * 40, [True] * 39 + [False]).assign(group="image_000")
    assert assign(images, {"image_000": "test"})["image_039"] == "pool"


def test_main_class_is_the_most_frequent_and_of_equals_the_first_by_name() -> None:
    rows = [("x", "king"), ("x", "ace"), ("y", "king"), ("y", "king"), ("y", "ace")]
    boxes = pd.DataFrame(rows, columns=["image_id", "class_name"], dtype="string")
    assert main_classes(boxes).to_dict() == {"x": "ace", "y": "king"}
    assert main_classes(boxes[:0]).to_dict() == {}


def dataset() -> Dataset:
    """Two classes with a label, one image without, and one label that no training box has."""
    splits = {"a1": "train", "a2": "test", "k1": "train", "k2": "validation", "k3": "pool"}
    labels = {"a1": "ace", "a2": "ace", "k1": None, "k2": "king", "k3": "king", "q1": "queen"}
    images: list[dict[str, object]] = [
        {"image_id": name, "image_label": label, "split": splits.get(name, "pool")}
        | {"width": 9, "height": 9}
        for name, label in labels.items()
    ]
    boxes: list[dict[str, object]] = [
        {"image_id": name, "class_name": class_name, "origin": origin, "round": 0}
        for name, class_name, origin in [
            ("a1", "ace", "human"),
            ("k1", "king", "human"),
            ("k1", "ace", "adopted"),
            ("k1", "ace", "adopted"),
        ]
    ]
    return Dataset(build_table(images, IMAGE_COLUMNS), build_table(boxes, BOX_COLUMNS))


def test_split_table_counts_images_by_class_and_split() -> None:
    table = split_table(dataset())
    assert list(table.columns) == ["ID", "NAME", "Train", "Validate", "Pool", "Test"]
    assert table.astype(object).where(table.notna(), None).to_numpy().tolist() == [
        [1, "ace", 1, 0, 0, 1],
        [2, "king", 1, 1, 1, 0],
        [None, "queen", 0, 0, 1, 0],
        [None, "Total", 2, 1, 2, 1],
    ]


def test_an_image_of_unknown_class_is_counted_too() -> None:
    known = dataset()
    table = split_table(Dataset(known.images.assign(image_label=None), known.boxes[:1]))
    assert table["NAME"].tolist() == ["ace", "(no class)", "Total"]
    assert table["Train"].tolist() == [1, 1, 2]
