import numpy as np
import pandas as pd
import pytest
from tests.evaluation.tables import FAR, NAMES, A, B, case, found, images, random_tables, true

from boxloop.evaluation import bootstrap
from boxloop.evaluation.bootstrap import difference_interval, interval, resample_precisions
from boxloop.evaluation.matching import match, overlapping_pairs
from boxloop.evaluation.pascal import class_precisions
from boxloop.evaluation.results import build_results


def test_weights_are_images_that_are_there_several_times(monkeypatch: pytest.MonkeyPatch) -> None:
    detections, truth, table, names = random_tables(5, num_images=12)
    detections = detections.assign(score=np.random.default_rng(0).random(len(detections)))
    times = np.random.default_rng(1).multinomial(12, [1 / 12] * 12, size=3)
    monkeypatch.setattr(bootstrap, "_draw", lambda *_: iter([times.T.astype(float)]))
    results = build_results(detections, truth, table["image_id"].tolist(), names)
    weighted = resample_precisions(results, match(results, overlapping_pairs(results)), seed=0)
    for row, counts in zip(weighted, times, strict=True):
        ids = [
            (image_id, copy)
            for image_id, count in zip(table["image_id"], counts, strict=True)
            for copy in range(count)
        ]
        copied, copied_truth = (
            pd.concat(
                [
                    rows[rows["image_id"] == image_id].assign(image_id=f"{image_id} {copy}")
                    for image_id, copy in ids
                ]
            )
            for rows in (detections, truth)
        )
        results, _, matches = case(copied, copied_truth, names)
        assert row == pytest.approx(class_precisions(results, matches), nan_ok=True)


def test_an_interval_lies_around_what_was_seen() -> None:
    """A quarter of the resamples is below it, so that plain percentiles would be too high."""
    resampled = np.linspace(0, 1, 1001)
    # 2 * z(0.25) -+ 1.96 is -3.309 and 0.611, the normal distribution's 0.0005 and 0.729
    assert interval(resampled, 0.25, num_images=9) == pytest.approx((0.0005, 0.729), abs=1e-3)
    assert interval(resampled, 0.5, num_images=9) == pytest.approx((0.025, 0.975), abs=1e-3)
    assert interval(np.array([np.nan, 0.5, 0.5]), 0.5, num_images=9) == (0.5, 0.5)


def test_the_same_seed_draws_the_same_images() -> None:
    detections, truth, _, names = random_tables(2)
    results, _, matches = case(detections, truth, names)
    first, again, other = (
        resample_precisions(results, matches, seed=seed, replicates=250) for seed in (1, 1, 2)
    )
    assert first.shape == (250, len(names))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other, equal_nan=True)


def test_what_is_perfect_is_perfect_in_every_resample() -> None:
    truth = true(("a", "cat", A), ("b", "dog", B), ("c", "cat", A))
    rows = [("a", "cat", 0.9, A), ("b", "dog", 0.8, B), ("c", "cat", 0.7, A)]
    results, _, matches = case(found(*rows), truth)
    precisions = resample_precisions(results, matches, seed=1)
    assert np.isnan(precisions).any()  # a class that no drawn image has
    means = bootstrap.mean_precisions(precisions, class_precisions(results, matches))
    assert interval(means, 1.0, num_images=9) == (1, 1)


def test_an_interval_is_that_of_a_share_where_every_image_has_one_box() -> None:
    """Half of 100 images are right, none wrong: recall's standard deviation is 0.05."""
    ids = [f"{number:02d}" for number in range(100)]
    rows = [(image_id, "cat", 0.9, A) for image_id in ids[::2]]
    results, _, matches = case(found(*rows), true(*((i, "cat", A) for i in ids)))
    resampled = resample_precisions(results, matches, seed=1)[:, 0]
    low, high = interval(resampled, 0.5, num_images=100)
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.05, 0.5 + 1.96 * 0.05), abs=0.02)


def test_without_values_there_is_no_interval() -> None:
    results, _, matches = case(found(("a", "cat", 0.9, A)), true())
    resampled = resample_precisions(results, matches, seed=1)[:, 0]
    assert np.isnan(interval(resampled, np.nan, num_images=9)).all()


def test_a_class_that_a_resample_lacks_counts_as_it_was_seen() -> None:
    resampled = np.array([[1.0, np.nan], [0.5, 0.1], [np.nan, np.nan]])
    means = bootstrap.mean_precisions(resampled, np.array([0.8, 0.2]))
    assert means == pytest.approx([0.6, 0.3, 0.5])
    assert np.isnan(bootstrap.mean_precisions(resampled, np.array([np.nan, np.nan]))).all()


@pytest.mark.parametrize(("num_images", "is_given"), [(4, False), (5, True)])
def test_too_few_images_give_no_interval(num_images: int, is_given: bool) -> None:
    edges = interval(np.linspace(0, 1, 11), 0.5, num_images=num_images)
    assert np.isnan(edges).any() != is_given


def test_images_are_counted_by_the_boxes_to_be_found_in_them() -> None:
    truth = true(("a", "cat", A), ("a", "cat", B), ("b", "cat", A), ("c", "dog", A), difficult=[2])
    results, _, _ = case(found(), truth)
    assert bootstrap.num_showing(results).tolist() == [1, 1]
    assert bootstrap.num_showing_any(results) == 2


def test_a_difference_is_that_of_the_same_images() -> None:
    ids = [f"{number:02d}" for number in range(40)]
    truth = true(*((image_id, "cat", A) for image_id in ids))
    table = images(**dict.fromkeys(ids))
    good = found(*((image_id, "cat", 0.9, A) for image_id in ids[:30]))
    same = difference_interval(good, good, truth, table, NAMES, seed=1)
    assert same == (0, 0, 0)
    bad = found(*((image_id, "cat", 0.9, A) for image_id in ids[:20]))
    better = difference_interval(good, bad, truth, table, NAMES, seed=1)
    # 10 of 40 images differ: a standard deviation of (0.25 * 0.75 / 40) ** 0.5
    assert better.value == pytest.approx(0.25)
    assert (better.low, better.high) == pytest.approx((0.25 - 0.134, 0.25 + 0.134), abs=0.03)
    worse = difference_interval(bad, good, truth, table, NAMES, seed=1)
    assert worse == pytest.approx((-better.value, -better.high, -better.low))


@pytest.mark.parametrize(("num_images", "edge"), [(1, np.nan), (5, 1)])
def test_nothing_detected_differs_by_all(num_images: int, edge: float) -> None:
    ids = [f"{number}" for number in range(num_images)]
    rows = found(*((i, "cat", 0.9, A) for i in ids), ("0", "cat", 0.8, FAR))
    truth, table = true(*((i, "cat", A) for i in ids)), images(**dict.fromkeys(ids))
    change = difference_interval(rows, found(), truth, table, NAMES, seed=1)
    assert change == pytest.approx((1, edge, edge), nan_ok=True)
