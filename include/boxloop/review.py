"""A round's review: what is asked, what people decided, and the moment when no more is taken.

Decisions lie beside the queue, one file each, written once and never changed. The file that closes
the review is there twice: empty first, from when on nothing is taken any more; then with all the
decisions that were there. So a decision that was taken is never left out, on whatever machine.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.oracle.answers import (
    MAX_BYTES,
    SKIP,
    Decision,
    build_answer,
    from_json,
    parse_answer,
    to_json,
)
from boxloop.oracle.decisions import standing
from boxloop.review_queue import Review as Review
from boxloop.review_queue import read_review as read_review

_CLOSING = b"{}\n"
_NAME = re.compile(r"(0\d{19})-[0-9a-f]{8}\.json", re.ASCII)


def reviewed_rounds(run: Run) -> list[int]:
    """Return the rounds that have a review queue."""
    rounds: list[int] = []
    number = 1
    while storage.exists(f"{run.dataset(number)}/boxes.parquet"):
        rounds += [number] if storage.exists(run.queue(number)) else []
        number += 1
    return rounds


def read_decisions(run: Run, round_number: int) -> tuple[list[Decision], dict[str, str]]:
    """Return a round's decisions, and why files among them are none.

    Once the review is closed, these are the ones that were there then.

    Returns:
        Decisions in the order in which they came; name of a file -> reason.

    Raises:
        ValueError: if the round has no review queue.
    """
    if snapshot := _snapshot(run, round_number):
        return [from_json(value) for value in snapshot["decisions"]], snapshot["set_aside"]
    return _read_files(run, round_number)


def has_arrived(run: Run, round_number: int, token: str) -> bool:
    """Whether a decision was recorded with this token."""
    return any(name.endswith(f"-{token}.json") for name in _names(run.decisions(round_number)))


def record(run: Run, round_number: int, decision: Decision, token: str | None = None) -> str:
    """Save a decision, and return the name of its file.

    Args:
        run: the run.
        round_number: whose review it is.
        decision: what to save.
        token: 8 hexadecimal digits that name the decision, see `has_arrived`; by default random.

    Raises:
        ValueError: if the decision makes no sense, the round has no review queue, or its review
            is closed.
    """
    data = build_answer(decision)
    parse_answer(data, read_review(run, round_number).questions)
    if is_closed(run, round_number):
        raise ValueError(f"{run.uri}: the review of round {round_number} is closed")
    folder = run.decisions(round_number)
    name = _next_name(_names(folder), token or secrets.token_hex(4))
    storage.write_bytes(f"{folder}/{name}", data)
    if is_closed(run, round_number) and not _was_taken(run, round_number, name):
        storage.delete(f"{folder}/{name}")
        raise ValueError(f"{run.uri}: the review of round {round_number} was closed just now")
    return name


def close(run: Run, round_number: int) -> list[Decision]:
    """Take no more decisions, and return those that stand; a second call returns the same.

    Returns:
        As `standing` does; none where nobody was asked.
    """
    if not storage.exists(run.queue(round_number)):
        return []
    uri = run.closed_review(round_number)
    while not (snapshot := _snapshot(run, round_number)):
        storage.swap_bytes(uri, None, _CLOSING)
        decisions, set_aside = _read_files(run, round_number)
        value = {"decisions": [to_json(one) for one in decisions], "set_aside": set_aside}
        storage.swap_bytes(uri, _CLOSING, _dump(value))
    return standing(from_json(value) for value in snapshot["decisions"])


def decided_before(run: Run, round_number: int) -> list[Decision]:
    """Return the decisions that stand in all rounds before this one."""
    rounds = [number for number in range(1, round_number) if storage.exists(run.queue(number))]
    return [one for number in rounds for one in standing(read_decisions(run, number)[0])]


def is_closed(run: Run, round_number: int) -> bool:
    """Whether a round takes no more decisions."""
    return storage.exists(run.closed_review(round_number))


def is_unanswered(run: Run, round_number: int) -> bool:
    """Whether a round asks people about images, still takes answers, and nobody gave one."""
    if not storage.exists(run.queue(round_number)):
        return False
    told = progress(run, round_number)
    return told["items"] > 0 and not (told["done"] or told["skipped"] or told["is_closed"])


def progress(run: Run, round_number: int) -> dict[str, Any]:
    """Say how far people are with a round's queue.

    Returns:
        items: images in the queue; done: those accepted, rejected or corrected; skipped: those
        passed over; seconds: what people spent, also on what they took back; by_author: author ->
        done and seconds; set_aside: files that hold no decision; is_closed.

    Raises:
        ValueError: if the round has no review queue.
    """
    num_items = len(read_review(run, round_number).queue)
    decisions, set_aside = read_decisions(run, round_number)
    stands = standing(decisions)
    done = [decision for decision in stands if decision.action != SKIP]
    return {
        "items": num_items,
        "done": len(done),
        "skipped": len(stands) - len(done),
        "seconds": _seconds(decisions),
        "by_author": {
            author: {
                "done": sum(decision.author == author for decision in done),
                "seconds": _seconds(one for one in decisions if one.author == author),
            }
            for author in sorted({decision.author for decision in decisions})
        },
        "set_aside": set_aside,
        "is_closed": is_closed(run, round_number),
    }


def _read_files(run: Run, round_number: int) -> tuple[list[Decision], dict[str, str]]:
    questions = read_review(run, round_number).questions
    folder = run.decisions(round_number)
    decisions: list[Decision] = []
    set_aside: dict[str, str] = {}
    for name in _names(folder):
        try:
            data = storage.read_start(f"{folder}/{name}", MAX_BYTES + 1)
            decisions.append(replace(parse_answer(data, questions), name=name))
        except FileNotFoundError:
            continue  # came too late, see `record`
        except (ValueError, PermissionError) as error:
            set_aside[name] = str(error)
    return decisions, set_aside


def _names(folder: str) -> list[str]:
    """Return what lies in a folder of decisions, oldest first."""
    return list(storage.list_folder(folder).files)


def _next_name(names: list[str], token: str) -> str:
    """Return a name after all others, even if this machine's clock is behind."""
    newest = max((int(found[1]) for name in names if (found := _NAME.fullmatch(name))), default=0)
    return f"{max(time.time_ns(), newest + 1):020d}-{token}.json"


def _snapshot(run: Run, round_number: int) -> dict[str, Any] | None:
    """Return what the review was closed with; None while it is open, or being closed."""
    try:
        value: dict[str, Any] = storage.read_json(run.closed_review(round_number))
    except FileNotFoundError:
        return None
    return value or None


def _was_taken(run: Run, round_number: int, name: str) -> bool:
    """Whether a closed review has a decision; one that is being closed is closed first."""
    close(run, round_number)
    return any(decision.name == name for decision in read_decisions(run, round_number)[0])


def _dump(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def _seconds(decisions: Iterable[Decision]) -> float:
    return round(sum(decision.seconds for decision in decisions), 3)
