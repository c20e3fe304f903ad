"""A small nightly retraining for tests: an experiment on a few pictures, and its inbox."""

from pathlib import Path
from typing import Any

import yaml
from tests.data.folders import BOX, HEIGHT, WIDTH, Data
from tests.data.pictures import encoded, scene

from boxloop import nightly
from boxloop.data.dataset import Dataset, read_dataset
from boxloop.data.formats.annotation import Box
from boxloop.data.formats.voc import build_voc

MICRO = Path("tests/data/micro.yaml")


class Nights:
    """Nights over the data of `tests.data.folders`, their inbox and their artifact root."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.root = folder / "root"
        self.inbox = folder / "inbox"
        self.config = folder / "night.yaml"
        data = Data(folder / "data")
        data.config()
        experiment = yaml.safe_load(MICRO.read_text()) | {"data": {"uri": str(data.folder)}}
        (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment))
        own = {"experiment": str(folder / "experiment.yaml"), "inbox": str(self.inbox)}
        self.set(**(own | settings))

    def set(self, **settings: Any) -> None:
        known = yaml.safe_load(self.config.read_text()) if self.config.exists() else {}
        self.config.write_text(yaml.safe_dump(known | settings))

    def night(self, name: str) -> nightly.Night:
        return nightly.read_night(str(self.config), root=str(self.root), experiment_id=name)

    def take_in(self, name: str, *, always: bool = False) -> dict[str, Any]:
        return nightly.take_in(self.night(name), always=always)

    def try_out(self, name: str) -> None:
        """Leave behind what a night whose rounds have run would."""
        path = self.root / "experiments" / name / "promotion" / "decision.json"
        path.parent.mkdir(parents=True)
        path.write_text("{}")

    def put(self, name: str, data: bytes) -> None:
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def arrive(self, name: str, seed: int, boxes: list[Box] | None = None) -> None:
        """Put a picture into the inbox, with boxes if there are any."""
        self.put(f"images/{name}", encoded(scene(seed), "PNG"))
        if boxes is not None:
            xml = build_voc(name, WIDTH, HEIGHT, boxes)
            self.put(f"annotations/{Path(name).stem}.xml", xml)


def box(class_name: str = "ace", shift: int = 0) -> Box:
    return Box(class_name, BOX.xmin + shift, BOX.ymin, BOX.xmax + shift, BOX.ymax)


def library(nights: Nights) -> Dataset:
    night = nights.night("look")
    return read_dataset(night.library.version(night.records()[-1]["version"]))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
