from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def _write(folder: Path, points: Sequence[tuple[int, float]], *, suffix: str) -> Path:
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(folder), filename_suffix=suffix)
    with writer.as_default():
        for step, loss in points:
            tf.summary.scalar("total_loss", loss, step=step)
            tf.summary.scalar("learning_rate", 0.1, step=step)
    writer.close()
    return next(folder.glob(f"*{suffix}"))


def test_neighbours_share_a_point_where_there_are_many(tmp_path: Path) -> None:
    from boxloop.detector.losses import loss_curve

    _write(tmp_path, [(10 * i, float(i)) for i in range(1, 202)], suffix=".a")
    curve = loss_curve(tmp_path)
    # 201 points in threes: 1, 2, 3 first and 199, 200, 201 last
    assert (len(curve), curve[0], curve[-1]) == (67, [30, 2.0], [2010, 200.0])


def test_a_step_made_again_counts_once_and_half_a_record_not_at_all(tmp_path: Path) -> None:
    from boxloop.detector.losses import loss_curve

    killed = _write(tmp_path, [(10, 3.0), (20, 2.0), (30, 1.5)], suffix=".a")
    killed.write_bytes(killed.read_bytes()[:-90])  # a scalar's record is longer than 45 bytes
    _write(tmp_path, [(20, 2.5), (40, 1.0)], suffix=".b")
    assert loss_curve(tmp_path) == [[10, 3.0], [20, 2.5], [40, 1.0]]


def test_a_training_without_events_has_no_curve(tmp_path: Path) -> None:
    from boxloop.detector.losses import loss_curve

    assert loss_curve(tmp_path / "none") == []
