import csv
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.folders import REAL_DATA

from boxloop.data.images import read_facts
from boxloop.data.near_duplicates import group_near_duplicates


def compared(hashes: dict[str, int], max_distance: int) -> dict[str, str]:
    """Return the groups by comparing every pair, again and again."""
    groups = {name: name for name in hashes}
    pairs = [
        pair
        for pair in combinations(sorted(hashes), 2)
        if (hashes[pair[0]] ^ hashes[pair[1]]).bit_count() <= max_distance
    ]
    while any(groups[a] != groups[b] for a, b in pairs):
        for a, b in pairs:
            groups[a] = groups[b] = min(groups[a], groups[b])
    return groups


def hashes_of(bits: np.ndarray) -> dict[str, int]:
    """Return names for rows of 64 bits."""
    values = np.packbits(bits.astype(np.uint8), axis=1).view(">u8")[:, 0].tolist()
    return {f"{number:06}.jpg": value for number, value in enumerate(values)}


def test_no_images_have_no_groups() -> None:
    assert group_near_duplicates({}) == {}


@pytest.mark.parametrize(
    ("second", "third", "groups"),
    [
        pytest.param(0b1111, 0b11111111, ["a", "a", "a"], id="4 bits, and 4 more: a chain"),
        pytest.param(0b11111, 0b1 << 63, ["a", "b", "a"], id="5 bits are too many, 1 is not"),
        pytest.param(0, (1 << 64) - 1, ["a", "a", "c"], id="equal, and all bits"),
        pytest.param(
            1 | 1 << 13 | 1 << 26 | 1 << 39, (1 << 64) - 2, ["a", "a", "c"], id="4 bits far apart"
        ),
    ],
)
def test_group_is_a_chain_of_near_hashes_named_after_its_first(
    second: int, third: int, groups: list[str]
) -> None:
    found = group_near_duplicates({"c": third, "b": second, "a": 0})
    assert found == dict(zip("abc", groups, strict=True))


@pytest.mark.parametrize("max_distance", [-1, 64])
def test_wrong_distance_is_an_error(max_distance: int) -> None:
    with pytest.raises(ValueError, match=f"must be in \\[0, 63\\] bits, got {max_distance}"):
        group_near_duplicates({}, max_distance=max_distance)


@pytest.mark.parametrize("max_distance", [0, 1, 4, 7])
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.06, 0.15])
def test_groups_are_those_of_comparing_every_pair(max_distance: int, noise: float) -> None:
    random = np.random.default_rng(7)
    scenes = random.integers(0, 2, (3, 64))
    bits = scenes[random.integers(0, 3, 150)] ^ (random.random((150, 64)) < noise)
    bits[:20, 8:] = 0  # on a plain ground
    hashes = hashes_of(bits)
    found = group_near_duplicates(hashes, max_distance=max_distance)
    assert found == compared(hashes, max_distance)


@given(st.dictionaries(st.text(max_size=3), st.integers(0, (1 << 64) - 1), max_size=12))
def test_order_of_images_changes_nothing(hashes: dict[str, int]) -> None:
    found = group_near_duplicates(hashes)
    assert found == compared(hashes, 4)
    assert group_near_duplicates(dict(reversed(hashes.items()))) == found


def test_many_equal_hashes_are_one_group() -> None:
    # compared pair by pair they would be 5 * 10**9
    found = group_near_duplicates({f"{number:06}": 0 for number in range(100_000)})
    assert set(found.values()) == {"000000"}


@pytest.mark.parametrize(
    ("noise", "plain"),
    [
        pytest.param(0.05, 0, id="one fixed camera"),
        pytest.param(0.5, 40, id="white ground: 24 bits differ"),
    ],
)
def test_hashes_that_agree_in_most_bits_are_chained(noise: float, plain: int) -> None:
    bits = np.random.default_rng(7).random((20_000, 64)) < noise
    bits[:, :plain] = False
    found = group_near_duplicates(hashes_of(bits))
    # nearly every one has a neighbour within 4 bits, and so all the others
    sizes = np.unique(list(found.values()), return_counts=True)[1]
    assert sizes.max() > 18_000


@pytest.mark.parametrize("name", ["bccd", "microcontrollers", "playing_cards"])
def test_real_near_duplicates_are_found(name: str) -> None:
    """The groups were made by another 8 x 8 dHash at the same distance."""
    folder = REAL_DATA / name
    if not folder.is_dir():
        pytest.skip(f"needs real photographs in {folder}, which are not part of the project")
    with (folder / "groups.csv").open() as file:
        known = {row["path"]: row["group"] for row in csv.DictReader(file)}
    hashes: dict[str, int] = {}
    for path in known:
        dhash = read_facts((folder / path).read_bytes(), hash_pixels=True).dhash
        hashes[path] = dhash or 0
    found = group_near_duplicates(hashes)
    assert {(a, b) for a, b in combinations(sorted(known), 2) if known[a] == known[b]} <= {
        (a, b) for a, b in combinations(sorted(known), 2) if found[a] == found[b]
    }
    assert len(set(known.values())) - len(set(found.values())) <= 2
