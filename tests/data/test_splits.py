from collections import Counter

import pandas as pd
import pytest

from boxloop.data.splits import Card, assign_splits, deal, name_groups

SEEDS = range(5)


def cards(num_by_stratum: dict[str, int], group_size: int = 1) -> list[Card]:
    return [
        Card(f"{stratum}_{number}", stratum, f"{stratum}_{number // group_size}")
        for stratum, num in num_by_stratum.items()
        for number in range(num)
    ]


def count(dealt: set[str]) -> Counter[str]:
    return Counter(image_id.split("_")[0] for image_id in dealt)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_stratum_gives_its_share_and_rare_ones_at_least_one(seed: int) -> None:
    dealt = deal(cards({"a": 100, "b": 10, "c": 3}), 0.2, seed=seed, leave=2)
    assert count(dealt) == {"a": 20, "b": 2, "c": 1}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stratum_too_small_to_leave_enough_gives_nothing(seed: int) -> None:
    assert count(deal(cards({"a": 10, "b": 2}), 0.5, seed=seed, leave=2)) == {"a": 5}


@pytest.mark.parametrize("seed", SEEDS)
def test_strata_that_are_all_too_small_are_dealt_as_one(seed: int) -> None:
    one_each = cards(dict.fromkeys("abcde", 1))
    assert len(deal(one_each, 0.4, seed=seed, leave=2)) == 2
    assert deal(one_each[:2], 0.4, seed=seed, leave=2) == set()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("group_size", [2, 3, 7])
def test_groups_stay_together(seed: int, group_size: int) -> None:
    deck = cards({"a": 40, "b": 15}, group_size)
    dealt = deal(deck, 0.3, seed=seed, leave=1)
    groups = {card.group for card in deck if card.image_id in dealt}
    assert dealt == {card.image_id for card in deck if card.group in groups}
    assert 12 <= count(dealt)["a"] < 12 + group_size


@pytest.mark.parametrize("seed", SEEDS)
def test_order_of_the_images_plays_no_part(seed: int) -> None:
    deck = cards({"a": 30, "b": 9}, group_size=2)
    assert deal(deck[::-1], 0.3, seed=seed, leave=1) == deal(deck, 0.3, seed=seed, leave=1)


def test_another_seed_is_another_choice() -> None:
    deck = cards({"a": 30})
    assert len({frozenset(deal(deck, 0.3, seed=seed, leave=1)) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_larger_share_takes_what_a_smaller_one_takes(seed: int) -> None:
    deck = cards({"a": 30, "b": 12})
    assert deal(deck, 0.2, seed=seed, leave=0) < deal(deck, 0.5, seed=seed, leave=0)


def test_a_group_belongs_to_the_stratum_of_most_of_its_images() -> None:
    mixed = [Card("x1", "b", "g"), Card("x2", "b", "g"), Card("x3", "a", "g")]
    dealt = deal([*cards({"a": 2}), *mixed], 1.0, seed=0, leave=1)
    # "b" has one group only, so it stays; of "a", one of two goes
    assert count(dealt) == {"a": 1}


def test_groups_are_named_after_their_first_image() -> None:
    assert name_groups({"c": "7", "b": "7", "a": "3"}) == {"c": "b", "b": "b", "a": "a"}


def table(given: list[str | None], is_boxed: list[bool]) -> pd.DataFrame:
    names = [f"image_{number:03d}" for number in range(len(given))]
    return pd.DataFrame({"image_id": names, "stratum": "a", "group": names}).assign(
        given=pd.array(given, dtype="string"), is_boxed=is_boxed
    )


def assign(images: pd.DataFrame) -> list[str]:
    return list(assign_splits(images, seed=1, test_share=0.2, validation_share=0.1))


def test_given_splits_are_followed() -> None:
    images = table(["train", "pool", "validation", "test"], [True] * 4)
    assert assign(images) == ["train", "pool", "validation", "test"]


def test_images_without_boxes_play_the_pool() -> None:
    images = table(["train", None, "train", None, "test", "validation"], [False] * 2 + [True] * 4)
    assert assign(images) == ["pool", "pool", "train", "train", "test", "validation"]


def test_missing_splits_are_dealt_from_boxed_images() -> None:
    dealt = Counter(assign(table([None] * 110, [True] * 100 + [False] * 10)))
    # 20 of 100 for the test, then 8 of 80
    assert dealt == {"train": 72, "test": 20, "validation": 8, "pool": 10}


def test_a_split_that_is_given_is_not_added_to() -> None:
    dealt = Counter(assign(table(["test"] + [None] * 50, [True] * 51)))
    assert dealt == {"train": 45, "test": 1, "validation": 5}
