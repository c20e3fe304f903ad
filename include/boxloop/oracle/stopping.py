"""When further rounds no longer pay: the rules of `experiment.stop` over the finished rounds.

Nothing here is kept: the reason is computed where it is asked for. So a finished run goes on once
it is given more rounds or other rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from boxloop.oracle_settings import NOBODY, StopConfig

Summary = Mapping[str, Any]
Summaries = Sequence[Summary]

NOTHING_LEFT = "every image of the pool has a box"


def reason_to_stop(summaries: Summaries, config: StopConfig, *, by: str) -> str | None:
    """Return why no round should follow on the finished ones, or None where one should.

    Args:
        summaries: summary.json of the finished rounds, from round 1. What an older version of
            Boxloop did not write is taken for not known, and rules that need it do not hold.
        config: the rules.
        by: who judges, `oracle.by`. A control run asks nobody about anything, so adoption,
            agreement and an empty pool do not end it.

    Returns:
        The first rule that holds in words, with its value and its limit.
    """
    if not summaries:
        return None
    rules: list[Callable[[Summaries, StopConfig], str | None]] = [_plateau, *_BUDGETS]
    if by != NOBODY:
        rules = [_nothing_left, _adoption_rate, _agreement, *rules]
    return next((reason for rule in rules if (reason := rule(summaries, config))), None)


def _nothing_left(summaries: Summaries, config: StopConfig) -> str | None:
    last = summaries[-1]
    asked = last.get("pool", last.get("candidates"))  # what it was called before people judged
    return f"{NOTHING_LEFT}: round {last['round']} asked about none" if asked == 0 else None


def _adoption_rate(summaries: Summaries, config: StopConfig) -> str | None:
    last = summaries[-1]
    images, adopted = last.get("training_images"), last.get("adopted")
    if not config.adoption_rate or not images or adopted is None:
        return None
    if last["round"] == 1:
        return None  # a detector that is too weak to adopt anything may need another round
    reviewed = last.get("reviewed") or 0
    growth = last.get("growth")  # a box that was adopted and then accepted is one box
    share = (sum(row["added"] for row in growth) if growth else adopted + reviewed) / images
    if share >= config.adoption_rate:
        return None
    given = f" and was given {_boxes(reviewed)} by people" if reviewed else ""
    return (
        f"round {last['round']} adopted {_boxes(adopted)}{given}, {_percent(share)} of its "
        f"{images} images; the limit is {_percent(config.adoption_rate)} (stop.adoption_rate)"
    )


def _plateau(summaries: Summaries, config: StopConfig) -> str | None:
    count = config.plateau_rounds
    intervals = [summary.get("map50_change_interval") for summary in summaries[-count:]]
    if not count or len(intervals) < count:
        return None
    if any(interval is None or interval[0] > 0 for interval in intervals):
        return None
    last = summaries[-1]["round"]
    low, high = intervals[-1] or (0.0, 0.0)
    rounds = f"round {last}" if count == 1 else f"rounds {last - count + 1} to {last}"
    return (
        f"what {rounds} gained in mAP@0.5 may be chance: the change of round {last} is between "
        f"{low:+.3f} and {high:+.3f}; the limit is {_count(count, 'such round')} on end "
        "(stop.plateau_rounds)"
    )


def _agreement(summaries: Summaries, config: StopConfig) -> str | None:
    share = summaries[-1].get("agreement")
    if not config.agreement or share is None or share < config.agreement:
        return None
    last = summaries[-1]["round"]
    return (
        f"round {last} found the same as round {last - 1} in {_percent(share)} of the pool's "
        f"images; the limit is {_percent(config.agreement)} (stop.agreement)"
    )


def _seconds(summaries: Summaries, config: StopConfig) -> str | None:
    spent = _sum(summaries, "seconds")
    if not config.seconds or spent < config.seconds:
        return None
    return (
        f"{_spent(summaries)} took {spent:.0f} s; the limit is {config.seconds:g} s (stop.seconds)"
    )


def _images(summaries: Summaries, config: StopConfig) -> str | None:
    last = summaries[-1]
    images = last.get("training_images") or 0
    if not config.images or images < config.images:
        return None
    return (
        f"round {last['round']} trained on {images} images; the limit is {config.images} "
        "(stop.images)"
    )


def _human_seconds(summaries: Summaries, config: StopConfig) -> str | None:
    spent = _sum(summaries, "human_seconds")
    if not config.human_seconds or spent < config.human_seconds:
        return None
    return (
        f"people reviewed for {spent:.0f} s in {_spent(summaries)}; the limit is "
        f"{config.human_seconds:g} s (stop.human_seconds)"
    )


_BUDGETS = (_seconds, _images, _human_seconds)


def _sum(summaries: Summaries, name: str) -> float:
    return float(sum(summary.get(name) or 0 for summary in summaries))


def _spent(summaries: Summaries) -> str:
    last = summaries[-1]["round"]
    return f"rounds 1 to {last}" if last > 1 else "round 1"


def _boxes(count: int) -> str:
    return "1 box" if count == 1 else f"{count} boxes"


def _count(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
