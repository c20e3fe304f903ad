from pathlib import Path

import numpy as np
import pytest

from boxloop.embeddings import read_embeddings, to_parquet


def test_vectors_come_back_with_their_images(tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).normal(size=(5, 7)).astype(np.float32)
    names = ["b/é.jpg", "a.jpg", "c.jpg", "d.jpg", "e.jpg"]
    named = dict(zip(names, vectors, strict=True))
    parts = [dict(list(named.items())[:2]), {}, dict(list(named.items())[2:])]
    uris = [str(tmp_path / f"{number}.parquet") for number in range(3)]
    for uri, part in zip(uris, parts, strict=True):
        Path(uri).write_bytes(to_parquet(part))
    found = read_embeddings(uris)
    assert found["image_id"].tolist() == names
    assert np.stack(found["embedding"].tolist()).dtype == np.float32
    assert np.stack(found["embedding"].tolist()) == pytest.approx(vectors, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("count", [0, 1])
def test_no_vectors_are_an_empty_table(tmp_path: Path, count: int) -> None:
    (tmp_path / "none.parquet").write_bytes(to_parquet({}))
    found = read_embeddings([str(tmp_path / "none.parquet")] * count)
    assert found.columns.tolist() == ["image_id", "embedding"]
    assert found.empty


def test_the_same_vectors_give_the_same_bytes() -> None:
    vectors = {"a.jpg": np.ones(4, np.float32), "b.jpg": np.zeros(4, np.float32)}
    assert to_parquet(vectors) == to_parquet(dict(vectors))
