"""What a model costs on this machine, kept in the user's cache."""

from __future__ import annotations

import dataclasses
import platform
from dataclasses import dataclass
from pathlib import Path

from boxloop import storage
from boxloop.download import cache_folder

STUDY_BATCH, STUDY_STEPS = 16, 1000  # what training times are given for


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Size and speed of a model, and the machine that they hold for."""

    parameters: int
    batch_size: int
    train_images_per_second: float
    """Without the first step."""
    first_step_seconds: float
    """Tracing included."""
    predict_images_per_second: float
    """From encoded images to boxes."""
    device: str
    """The GPU, or else the CPU."""
    cores: int
    tensorflow: str
    """Version."""

    @property
    def megabytes(self) -> float:
        """Of the weights as float32."""
        return self.parameters * 4 / 1e6

    @property
    def training_seconds(self) -> float:
        """For 1,000 steps at batch 16."""
        return STUDY_STEPS * STUDY_BATCH / self.train_images_per_second


def read_measurement(model_name: str) -> Measurement | None:
    """Return what was measured last on this machine, or None."""
    try:
        return Measurement(**storage.read_json(_uri(model_name)))
    except (FileNotFoundError, TypeError):  # of another version
        return None


def write_measurement(model_name: str, measurement: Measurement) -> None:
    """Keep a measurement, in place of an earlier one."""
    storage.write_json(_uri(model_name), dataclasses.asdict(measurement))


def cpu_name() -> str:
    """Return what the processor calls itself, such as AMD EPYC 7B13."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _uri(model_name: str) -> str:
    return str(cache_folder().with_name("zoo") / f"{model_name}.json")
