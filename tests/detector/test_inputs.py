from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow


def test_rare_classes_are_read_more_often() -> None:
    from boxloop.detector.inputs import repeat_factors

    # the median class counts 100: a quarter of it is read twice as often
    np.testing.assert_allclose(repeat_factors([400, 100, 25]), [1, 1, 2])
    np.testing.assert_allclose(repeat_factors([0, 4, 4]), [2, 1, 1])
    np.testing.assert_allclose(
        repeat_factors([0, 0, 0, 4, 400]), [200**0.5] * 3 + [50.5**0.5, 1], rtol=0.01
    )


def test_records_repeat_by_their_rarest_class(tmp_path: Path) -> None:
    import tensorflow as tf

    from boxloop.detector.inputs import Inputs, _read_balanced
    from boxloop.train_settings import TrainConfig

    def record(*ids: int) -> bytes:
        values = tf.train.Feature(int64_list=tf.train.Int64List(value=ids))
        features = tf.train.Features(feature={"image/object/class/label": values})
        return bytes(tf.train.Example(features=features).SerializeToString())

    path = str(tmp_path / "a.tfrecord")
    rows = [record(1), record(2), record(3), record(1, 3), record(4), record(1, 4)]  # 4: doubtful
    with tf.io.TFRecordWriter(path) as writer:
        for row in rows:
            writer.write(row)
    inputs = Inputs(config=TrainConfig(), class_counts=[400, 100, 25], seed=1)
    read = list(_read_balanced(inputs, path).as_numpy_iterator())
    assert [read.count(row) for row in rows] == [1, 1, 2, 2, 1, 1]
