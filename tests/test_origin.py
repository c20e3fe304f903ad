import errno
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.data.pictures import encoded

from boxloop import storage
from boxloop.data.dataset import BOX_COLUMNS, IMAGE_COLUMNS, Dataset, build_table, write_dataset
from boxloop.origin import SAMPLES, read_samples


def write_images(folder: Path, contents: list[bytes | None]) -> str:
    """Write a dataset version of test images; None: the file has gone."""
    folder.mkdir()
    rows: list[dict[str, object]] = []
    for number, content in enumerate(contents):
        path = folder / f"{number:03d}.jpg"
        if content is not None:
            path.write_bytes(content)
        rows.append({"image_id": path.name, "uri": str(path), "sha256": "0", "split": "test"})
        rows[-1] |= {"width": 8, "height": 8, "group": path.name}
    images = build_table(rows, IMAGE_COLUMNS)
    write_dataset(str(folder / "dataset"), Dataset(images, pd.DataFrame(columns=list(BOX_COLUMNS))))
    return str(folder / "dataset")


def jpeg(mode: str, level: int = 90) -> bytes:
    return encoded(Image.new("RGB", (8, 8), (level, 20, 30)).convert(mode), "JPEG")


def test_samples_are_spread_and_the_same_each_time(tmp_path: Path) -> None:
    uri = write_images(tmp_path / "images", [jpeg("RGB", level) for level in range(50)])
    samples = read_samples(uri)
    assert len(samples) == SAMPLES
    assert samples == read_samples(uri)
    assert samples[-1] == jpeg("RGB", 45)


def test_an_image_that_has_gone_is_no_sample(tmp_path: Path) -> None:
    assert read_samples(write_images(tmp_path / "images", [jpeg("RGB"), None])) == [jpeg("RGB")]
    with pytest.raises(ValueError, match="no test image can be read, a model cannot be tested"):
        read_samples(write_images(tmp_path / "gone", [None]))


def test_cmyk_becomes_what_all_decoders_agree_on(tmp_path: Path) -> None:
    (sample,) = read_samples(write_images(tmp_path / "images", [jpeg("CMYK")]))
    with Image.open(io.BytesIO(sample)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert np.asarray(image).mean(axis=(0, 1)) == pytest.approx([90, 20, 30], abs=3)


def test_a_disk_that_fails_for_now_costs_no_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = write_images(tmp_path / "images", [jpeg("RGB"), jpeg("RGB", 30)])
    read_bytes = storage.read_bytes

    def fail(uri: str) -> bytes:
        if uri.endswith("001.jpg"):
            raise OSError(errno.EIO, "a fault of the test", uri)
        return read_bytes(uri)

    monkeypatch.setattr(storage, "read_bytes", fail)
    with pytest.raises(OSError, match="a fault of the test"):
        read_samples(uri)
