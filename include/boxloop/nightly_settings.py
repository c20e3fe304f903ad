"""What a nightly retraining can be told: configs/nightly.yaml, read by boxloop/experiment.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from boxloop.oracle_settings import BOTH, HUMAN, JUDGES, LABELS
from boxloop.setting_checks import check, check_option

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class IntakeConfig:
    """How much of an inbox one night takes. Over a limit it takes nothing, and fails saying why."""

    max_images: int = 5000
    """Image files, and whatever else lies below images/, that are new since the last night."""
    max_gigabytes: float = 5.0
    """All files that are new since the last night, together."""
    max_file_megabytes: float = 50.0
    """A larger file is not opened; it is set aside and listed."""
    max_megapixels: float = 50.0
    """A larger picture is not decoded; it is set aside and listed."""
    max_boxes_per_image: int = 500
    """An image with more is set aside and listed."""
    max_broken_share: float = 0.2
    """Of what is new: files that cannot be read or may not be, in [0, 1]."""
    max_unknown_share: float = 0.2
    """Of what is new: images with a class that the champion does not know, in [0, 1]."""
    max_replaced_share: float = 0.2
    """Of the library's boxed images: those whose boxes a night may replace, in [0, 1]; of its
    labelled images the same for labels."""
    tolerated: int = 3
    """So many files are never too large a share: one of two is half."""
    new_classes: list[str] = field(default_factory=list)
    """Classes that may be added. A night that adds one does not go on from the champion's weights,
    whose classes are others, but begins anew."""

    def __post_init__(self) -> None:
        amounts = ("max_images", "max_gigabytes", "max_file_megabytes")
        for name in (*amounts, "max_megapixels", "max_boxes_per_image"):
            value = getattr(self, name)
            check(value > 0, f"intake.{name} must be > 0, got {value}")
        for name in ("max_broken_share", "max_unknown_share", "max_replaced_share"):
            value = getattr(self, name)
            check(0 <= value <= 1, f"intake.{name} must be in [0, 1], got {value}")
        check(self.tolerated >= 0, f"intake.tolerated must be >= 0, got {self.tolerated}")


@dataclass(frozen=True, kw_only=True)
class PromotionConfig:
    """When a challenger becomes the champion: when it is better by more than noise."""

    confidence: float = 0.95
    """Of the interval of the difference in mAP@0.5, which must lie above 0; in [0.5, 1)."""
    min_gain: float = 0.0
    """Smallest difference in mAP@0.5 that is worth a new champion, in [0, 1)."""
    max_class_drop: float = 0.05
    """No class may lose more AP@0.5 than this for sure: the upper edge of its interval decides,
    and where there is no interval the loss itself."""
    max_observed_drop: float = 0.2
    """No class may lose more AP@0.5 than this as measured, however noisy that is, in [0, 1]."""
    min_class_boxes: int = 10
    """Classes with fewer boxes in the test set are not looked at one by one, but named."""

    def __post_init__(self) -> None:
        confidence, gain = self.confidence, self.min_gain
        check(0.5 <= confidence < 1, f"promotion.confidence must be in [0.5, 1), got {confidence}")
        check(0 <= gain < 1, f"promotion.min_gain must be in [0, 1), got {gain}")
        for name in ("max_class_drop", "max_observed_drop"):
            drop = getattr(self, name)
            check(0 <= drop <= 1, f"promotion.{name} must be in [0, 1], got {drop}")
        count = self.min_class_boxes
        check(count >= 1, f"promotion.min_class_boxes must be at least 1, got {count}")


@dataclass(frozen=True, kw_only=True)
class NightlyConfig:
    """What a night takes in, how it trains, and when its detector is promoted."""

    experiment: str
    """Experiment file: model, training, oracle, and the data of the first night."""
    name: str = "nightly"
    """Of the champion and of the library of images; another name, another champion."""
    inbox: str | None = None
    """Folder or gs:// prefix where new images and boxes arrive, laid out as docs/your-data.md
    says. By default $BOXLOOP_INBOX, else inbox/<name> below the artifact root."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the experiment that differ at night, such as {rounds: 1, train.steps: 300}."""
    oracle: str = LABELS
    """Who judges detections at night."""
    ask_people: bool = False
    """Must be true for an oracle that waits for people: human or both."""
    intake: IntakeConfig = field(default_factory=IntakeConfig)
    promotion: PromotionConfig = field(default_factory=PromotionConfig)

    def __post_init__(self) -> None:
        check(
            NAME.fullmatch(self.name) is not None,
            f"name must be letters, digits, '.', '_' or '-', at most 64, got {self.name!r}",
        )
        check_option("oracle", self.oracle, JUDGES)
        check(
            self.ask_people or self.oracle not in (HUMAN, BOTH),
            f"oracle is {self.oracle}: a night would wait for people; set ask_people: true if it "
            f"is to, else {LABELS}",
        )
        reserved = {"oracle.by", "data.uri", "data.version", "train.continue_from"}
        for setting in sorted(reserved & set(flat(self.settings))):
            check(False, f"settings.{setting} is decided by the night itself: leave it out")


def flat(settings: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Return settings by their dotted names: {"train": {"steps": 5}} as {"train.steps": 5}."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        is_group = isinstance(value, Mapping) and value
        found |= flat(value, f"{where}{name}.") if is_group else {f"{where}{name}": value}
    return found
