"""Champion or challenger: which detector is the champion from now on; decided once for each run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from boxloop import champion, storage
from boxloop.artifacts import Run
from boxloop.comparison import compare
from boxloop.ledger import finished_rounds, recorded
from boxloop.nightly_settings import PromotionConfig
from boxloop.verdict import Change, Verdict, judge

log = logging.getLogger(__name__)

Value = dict[str, Any]


def promote(
    run_uri: str,
    *,
    root: str,
    name: str,
    config: PromotionConfig,
    by: str,
    began: Mapping[str, Any] | None = None,
) -> Value:
    """Make the last detector of a run the champion if it is better; decided once for each run.

    Args:
        run_uri: the run's folder.
        root: the artifact root.
        name: of the champion.
        config: what is better.
        by: who asks, for the history.
        began: as `boxloop.nightly.Night.began` tells it: `champion`, the number of the record that
            the run began from, 0 for none. If another one is the newest by now, the champion stays.

    Returns:
        `is_promoted`; `reason`, in words; `challenger` and `champion`, before this, as
        `boxloop.champion.describe` tells them; `change`, the difference in mAP@0.5 with its
        interval; `classes`, the same by class; `record`, the number of the champion's record;
        `name`, the champion's; `began`; `rule`, the settings.

    Raises:
        RuntimeError: if another champion was promoted meanwhile.
    """
    run = Run(run_uri.rstrip("/"))
    challenger = champion.describe(run, finished_rounds(run))
    if (decided := _decided(run, challenger)) is not None:
        return decided
    known, mine = _history_before(challenger, champion.history(root, name))
    began = began or {"champion": len(known)}
    verdict = _verdict(run, challenger, known, mine, began, config)
    if mine is None and verdict.is_promoted:
        mine = champion.append(root, name, challenger, len(known), **_said(verdict, by))
    decision = {
        **_told(verdict, began),
        "challenger": challenger,
        "champion": known[-1] if known else None,
        "record": mine["number"] if mine else len(known),
        "name": name,
        "began": dict(began),
        "rule": vars(config).copy(),
    }
    log.info("%s", decision["reason"])
    with recorded(run, "promote"):
        storage.write_json(run.decision, decision)
    return decision


def _decided(run: Run, challenger: Value) -> Value | None:
    """Return what was decided about this very detector before."""
    if not storage.exists(run.decision):
        return None
    decided = dict(storage.read_json(run.decision))
    is_same = decided["challenger"]["bundle_digest"] == challenger["bundle_digest"]
    return decided if is_same else None


def _history_before(
    challenger: Value, records: Sequence[Value]
) -> tuple[Sequence[Value], Value | None]:
    """Return the champion's records before the challenger's own, and that one if it is there."""
    mine = next((one for one in records if _is_promotion_of(one, challenger)), None)
    return (records if mine is None else records[: mine["number"] - 1]), mine


def _verdict(
    run: Run,
    challenger: Value,
    known: Sequence[Value],
    mine: Value | None,
    began: Mapping[str, Any],
    config: PromotionConfig,
) -> Verdict:
    """Decide, or repeat what a promotion that was cut off after its record has decided.

    Args:
        run: the challenger's.
        challenger: as `boxloop.champion.describe` tells it.
        known: the champion's records before this run's own.
        mine: this run's own.
        began: the champion that the run began from.
        config: what is better.
    """
    if mine is None and began["champion"] != len(known):
        return Verdict(False, _changed(known, began["champion"]), None, ())
    verdict = _judge(run, challenger, known[-1] if known else None, config)
    if mine is None:
        return verdict
    change = Change(**mine["change"]) if mine.get("change") else None
    return Verdict(True, mine["reason"], change, verdict.classes)


def _judge(run: Run, challenger: Value, best: Value | None, config: PromotionConfig) -> Verdict:
    if best is None:
        return judge(challenger["map50"], None, (), config)
    if best["bundle_digest"] == challenger["bundle_digest"]:
        return Verdict(False, "Kept: the challenger is the champion itself.", None, ())
    change, classes, unguarded = compare(run, challenger, best, config)
    return judge(challenger["map50"], change, classes, config, unguarded)


def _said(verdict: Verdict, by: str) -> Value:
    """Return what the champion's record says of its promotion."""
    change = verdict.change._asdict() if verdict.change else None
    return {"how": champion.PROMOTED, "by": by, "reason": verdict.reason, "change": change}


def _told(verdict: Verdict, began: Mapping[str, Any]) -> Value:
    """Return what the decision says of its verdict, and of a night that had to begin anew."""
    return {
        "is_promoted": verdict.is_promoted,
        "reason": " ".join(filter(None, [verdict.reason, began.get("anew")])),
        "change": verdict.change._asdict() if verdict.change else None,
        "classes": [one._asdict() for one in verdict.classes],
    }


def _is_promotion_of(record: Value, challenger: Value) -> bool:
    same = ("run_uri", "round", "bundle_digest")
    return record["how"] == champion.PROMOTED and all(record[n] == challenger[n] for n in same)


def _changed(known: Sequence[Value], before: int) -> str:
    how = f"record {len(known)} ({known[-1]['how']})" if known else "none"
    return (
        f"Kept: the champion was changed while this night ran; it began from record {before}, the "
        f"newest is {how}. A person's choice is not undone; the next night that has anything new "
        "goes on from it."
    )
