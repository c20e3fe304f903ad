"""What a run can be told: frozen dataclasses that refuse what makes no sense.

`boxloop/experiment.py` reads them from YAML; a bad value raises ValueError with the setting's name,
the value found and what is allowed, before anything is trained.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field

from boxloop.oracle_settings import OracleConfig, ReviewConfig, StopConfig
from boxloop.setting_checks import check, check_option
from boxloop.train_settings import ModelConfig, TrainConfig


@dataclass(frozen=True, kw_only=True)
class DrawnConfig:
    """How many images of the demo data set to draw, by split."""

    boxed: int = 40
    pool: int = 160
    validation: int = 16
    test: int = 160

    def __post_init__(self) -> None:
        for name, count in dataclasses.asdict(self).items():
            check(count >= 8, f"data.drawn.{name} must be at least 8, got {count}")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the images are, and which of them play which part."""

    uri: str | None = None
    """Folder or gs:// prefix with images, annotations and labels, see docs/your-data.md."""
    drawn: DrawnConfig | None = None
    """Draw the demo data set into `uri` first, if it is not there yet."""
    annotations: str | None = None
    """Sub-folder with the files that hold boxes; by default annotations/, labels/ and the top."""
    label_pattern: str | None = None
    """Regular expression whose group `label`, found in an image's path, is its image-level label:
    `(?P<label>[a-z]+)_\\d+`. By default the label is the name of the image's folder."""
    rename: dict[str, str] = field(default_factory=dict)
    """Class names to be read as others, such as {King: king}; for boxes and labels."""
    min_box: float = 1.0
    """Boxes with a side shorter than this many pixels are dropped."""
    near_duplicates: bool = True
    """Keep images that look alike on one side of every split. Costs decoding each image once."""
    previous: str | None = None
    """Folder of an earlier dataset version: its images keep their splits, also as the data grow."""
    version: str | None = None
    """Folder of a dataset version that the run begins with, as it is: `uri` is not read."""
    given_splits: bool = True
    """Follow the `split` column of image_labels.csv; else deal all images anew."""
    split_ratio: float = 9.0
    """Training images for each validation image, where no split is given (the study's -sr 9)."""
    test_share: float = 0.2
    """Share of the boxed images held out for the test, where no test split is given."""
    boxed_share: float = 1.0
    """Below 1: that share of the boxed training images keeps its boxes, the rest play the pool,
    and their boxes are kept apart as truth for the report."""

    def __post_init__(self) -> None:
        check(self.split_ratio >= 1, f"data.split_ratio must be >= 1, got {self.split_ratio}")
        check(0 < self.test_share < 1, f"data.test_share must be in (0, 1), got {self.test_share}")
        check(
            0 < self.boxed_share <= 1, f"data.boxed_share must be in (0, 1], got {self.boxed_share}"
        )
        check(self.min_box >= 0, f"data.min_box must be >= 0, got {self.min_box}")
        _check_pattern(self.label_pattern)
        check(
            bool(self.uri or self.version) or self.drawn is not None,
            "data.uri is empty: name the folder with images/, annotations/ and image_labels.csv",
        )


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """How detections are made, in the pool and in the test images."""

    engine: str = "auto"
    """auto: TFLite on a CPU, TensorFlow on a GPU and for R-CNNs; or tflite, or tensorflow."""
    batch_size: int = 32
    """Images a call of TensorFlow; TFLite takes one at a time, on each core."""
    part_size: int = 500
    """The most images of a part of the pool: what a killed task loses at the most, some seconds on
    a CPU, and what several workers deal out. Each part is two or three files."""

    def __post_init__(self) -> None:
        check_option("predict.engine", self.engine, ("auto", "tflite", "tensorflow"))
        check(self.batch_size >= 1, f"predict.batch_size must be >= 1, got {self.batch_size}")
        check(self.part_size >= 1, f"predict.part_size must be >= 1, got {self.part_size}")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that decides a run's result, but for the versions of the code."""

    name: str
    model: ModelConfig
    data: DataConfig
    train: TrainConfig = field(default_factory=TrainConfig)
    predict: PredictConfig = field(default_factory=PredictConfig)
    oracle: OracleConfig = field(default_factory=OracleConfig)
    review: ReviewConfig = field(default_factory=ReviewConfig)
    stop: StopConfig = field(default_factory=StopConfig)
    rounds: int = 7
    seed: int = 1

    def __post_init__(self) -> None:
        check(1 <= self.rounds <= 99, f"rounds must be in [1, 99], got {self.rounds}")
        check(self.seed >= 0, f"seed must be >= 0, got {self.seed}")


def _check_pattern(pattern: str | None) -> None:
    try:
        is_fine = pattern is None or "label" in re.compile(pattern).groupindex
    except re.error:
        is_fine = False
    example = "(?P<label>[a-z]+)_[0-9]+"
    check(
        is_fine,
        f"data.label_pattern must be a regular expression with a group named label, such as "
        f"{example}, got {pattern!r}",
    )
