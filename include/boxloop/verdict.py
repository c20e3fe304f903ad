"""The rule by which a challenger becomes the champion, and its reason in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from boxloop.nightly_settings import PromotionConfig


class Change(NamedTuple):
    """How much more a challenger has than a champion, with the edges of the interval."""

    name: str
    value: float | None
    """In mAP@0.5, or AP@0.5 of a class; None where there is no true box."""
    low: float | None
    """None where too few images show one."""
    high: float | None

    def __str__(self) -> str:
        edges = "" if self.low is None else f" (interval {self.low:+.3f} to {self.high:+.3f})"
        return f"{self.value:+.3f}{edges}"


class Verdict(NamedTuple):
    """What was decided."""

    is_promoted: bool
    reason: str
    change: Change | None
    classes: Sequence[Change]


def judge(
    map50: float | None,
    change: Change | None,
    classes: Sequence[Change],
    config: PromotionConfig,
    unguarded: Sequence[str] = (),
) -> Verdict:
    """Decide about a challenger.

    Args:
        map50: its mAP@0.5, None where there is none.
        change: against the champion; None: there is no champion yet.
        classes: the same for each class with enough boxes.
        config: the rule.
        unguarded: classes with too few boxes to be looked at one by one.
    """
    why_not = _why_not_first(map50) if change is None else _why_not(change, classes, config)
    if why_not:
        return Verdict(False, why_not, change, classes)
    if change is None:
        reason = f"Promoted: the first champion, with mAP@0.5 {map50:.3f}."
    else:
        reason = f"Promoted: mAP@0.5 {change}, which is more than noise; no class fell beyond it."
        if unguarded:
            reason += f" Too few boxes in the test set to look at: {', '.join(unguarded)}."
    return Verdict(True, reason, change, classes)


def _why_not_first(map50: float | None) -> str | None:
    if map50:
        return None
    return (
        "Not promoted: there is no champion yet, but this detector finds nothing in the test set."
    )


def _why_not(change: Change, classes: Sequence[Change], config: PromotionConfig) -> str | None:
    if change.value is None or change.low is None:
        return "Kept: the test set shows too little to tell a difference from noise."
    share = f"{config.confidence:.0%}"
    if change.low <= 0:
        kind = "worse" if change.high is not None and change.high < 0 else "not better"
        return (
            f"Kept: the challenger is {kind}; mAP@0.5 {change}, {share} of such intervals hold it."
        )
    if change.value < config.min_gain:
        return f"Kept: mAP@0.5 {change} is less than promotion.min_gain, {config.min_gain:g}."
    fallen = [one for one in classes if _has_fallen(one, config)]
    if fallen:
        named = "; ".join(f"{one.name} {one}" for one in fallen)
        return (
            f"Kept: mAP@0.5 {change} is better, but classes fell by more than "
            f"promotion.max_class_drop, {config.max_class_drop:g}, beyond their noise, or by more "
            f"than promotion.max_observed_drop, {config.max_observed_drop:g}: {named}."
        )
    return None


def _has_fallen(change: Change, config: PromotionConfig) -> bool:
    """Whether a class lost more than is allowed: for sure, or as measured."""
    if change.value is None:
        return False
    surely = change.value if change.high is None else change.high
    return surely < -config.max_class_drop or change.value < -config.max_observed_drop
