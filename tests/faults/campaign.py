"""A campaign: one run, the faults that it meets, and whether it came through."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
from tests.faults.compare import differences, outcome, untrue
from tests.faults.stage import Stage, wait_until

from boxloop.artifacts import Run

GRACE = 30.0  # seconds in which the last process of a run must have ended


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What acts of a campaign are handed."""

    stage: Stage
    run: Run
    run_id: str


Act = Callable[[Scene], str | None]
"""Makes one fault happen from outside and returns its kind, or does what people do after one."""


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """A run and its faults."""

    name: str
    rounds: int = 1
    faults: Sequence[Mapping[str, Any]] = ()
    """That the injector lets happen; each with its kind."""
    acts: Sequence[Act] = ()
    """Done one after the other while the run goes on."""
    root: str = ""
    """The artifact root, where it is not the stage's."""
    last: Callable[[Scene], list[str]] | None = None
    """Waits for what else was started; returns what is wrong with it."""


@dataclass(kw_only=True)
class Result:
    """What became of a campaign."""

    name: str
    happened: Counter[str] = field(default_factory=Counter)
    """Faults by kind."""
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


def play(stage: Stage, campaign: Campaign, expected: Mapping[str, str] | None) -> Result:
    """Let a run meet its faults, and say what became of it.

    Args:
        stage: where.
        campaign: what.
        expected: the outcome of an undisturbed run of as many rounds; None: not compared.
    """
    result, start = Result(name=campaign.name), time.monotonic()
    stage.plan(campaign.faults)
    run = stage.trigger(campaign.name, rounds=campaign.rounds, root=campaign.root)
    scene = Scene(stage=stage, run=run, run_id=campaign.name)
    try:
        for act in campaign.acts:
            if (kind := act(scene)) is not None:
                result.happened[kind] += 1
        if (state := stage.finish(campaign.name)) != "success":
            result.problems.append(f"the run ended as {state}")
        if campaign.last is not None:
            result.problems += campaign.last(scene)
    except (TimeoutError, RuntimeError, OSError, psutil.Error) as error:
        result.problems.append(repr(error))
    result.problems += _not_happened(stage, campaign, result.happened)
    result.problems += _after(stage, run, campaign.rounds, expected)
    result.seconds = time.monotonic() - start
    return result


def _not_happened(stage: Stage, campaign: Campaign, happened: Counter[str]) -> list[str]:
    missing = []
    for fault in campaign.faults:
        if stage.fired(fault["id"]):
            happened[fault["kind"]] += 1
        else:
            missing.append(f"{fault['id']} did not happen")
    return missing


def _after(stage: Stage, run: Run, rounds: int, expected: Mapping[str, str] | None) -> list[str]:
    """Return what is not as after an undisturbed run."""
    problems = []
    try:
        wait_until(lambda: not stage.workers(), GRACE, "no process is left")
    except TimeoutError:
        problems += [f"left running: {' '.join(p.cmdline())}" for p in stage.workers()]
    problems += untrue(run, rounds)
    if expected is not None:
        problems += differences(outcome(run), expected)
    return problems


def undisturbed(stage: Stage, name: str, rounds: int) -> dict[str, str]:
    """Return the outcome of a run without any fault.

    Raises:
        RuntimeError: if even that does not end well.
    """
    result = play(stage, Campaign(name=name, rounds=rounds), None)
    if result.problems:
        raise RuntimeError(f"the undisturbed run: {'; '.join(result.problems)}")
    return outcome(Run.of(stage.root, name))
