"""Let faults happen on a real Airflow, and say which of them a run survives.

    make test-faults                              # all of it: about fifty minutes, with the stack
    python -m tests.faults.run --only kills parts # some campaigns
    python -m tests.faults.run --table            # the table of what was run last

A campaign is a run with the faults that it meets. It is survived if the run ends well, with the
files of a run that nothing disturbed (tests/faults/compare.py says what is compared and what is
not), nothing that a reader could trust and must not, and no process left. If not, all its faults
count as lost. Results are kept in build/faults, one file a campaign, and so is what undisturbed
runs came to; `make test-faults` begins by deleting them.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.faults.campaign import Campaign, Result, play, undisturbed
from tests.faults.scenes import STAGES, Setting
from tests.faults.stage import Stage

from boxloop.local_airflow.server import PROJECT

RESULTS = PROJECT / "build" / "faults"

log = logging.getLogger("faults")


def run(names: Sequence[str], folder: Path) -> list[Result]:
    """Play campaigns, each on its stage; keep and return what became of them."""
    results = []
    for make in STAGES:
        with ExitStack() as stack:
            setting = make(folder / make.__name__, stack)
            chosen = [c for c in setting.campaigns if not names or c.name in names]
            if setting.reason:
                log.warning("Left out: %s: %s", make.__name__, setting.reason)
            elif chosen:
                results += play_all(setting, chosen, stack)
    return results


def play_all(setting: Setting, campaigns: Sequence[Campaign], stack: ExitStack) -> list[Result]:
    """Play the campaigns of one stage, and the undisturbed runs that they need."""
    assert setting.stage is not None
    stage = stack.enter_context(setting.stage.open())
    results = []
    for campaign in campaigns:
        result = play(stage, campaign, expected(stage, campaign.rounds))
        keep(result)
        log.info("%s", told(result))
        results.append(result)
    return results


def expected(stage: Stage, rounds: int) -> dict[str, str]:
    """Return what an undisturbed run of some rounds comes to; one is made if there was none."""
    name = f"undisturbed-{rounds}"
    path = RESULTS / "undisturbed" / f"{name}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(undisturbed(stage, name, rounds), indent=2))
    found: dict[str, str] = json.loads(path.read_text())
    return found


def keep(result: Result) -> None:
    """Write down what became of a campaign."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    value = {**vars(result), "happened": dict(result.happened)}
    (RESULTS / f"{result.name}.json").write_text(json.dumps(value, indent=2) + "\n")


def kept() -> list[Result]:
    """Return what became of each campaign when it was played last."""
    found = []
    for path in sorted(RESULTS.glob("*.json")):
        value = json.loads(path.read_text())
        found.append(Result(**{**value, "happened": Counter(value["happened"])}))
    return found


def table(results: Sequence[Result]) -> str:
    """Return fault, times injected, survived and lost, as Markdown."""
    injected, lost = Counter[str](), Counter[str]()
    for result in results:
        injected += result.happened
        lost += result.happened if result.problems else Counter()
    rows = [(kind, n, n - lost[kind], lost[kind]) for kind, n in sorted(injected.items())]
    sums = [sum(column) for column in zip(*(row[1:] for row in rows), strict=True)]
    lines = ["| fault | injected | survived | lost |", "|---|--:|--:|--:|"]
    lines += [f"| {kind} | {n} | {good} | {bad} |" for kind, n, good, bad in rows]
    return "\n".join([*lines, f"| **{len(rows)} kinds** | {' | '.join(map(str, sums or [0]))} |"])


def told(result: Result) -> str:
    """Say what became of a campaign."""
    how = "lost" if result.problems else "survived"
    head = f"{result.name}: {how}, {result.happened.total()} faults in {result.seconds:.0f} s"
    return "\n  ".join([head, *result.problems])


def main() -> int:
    """Play what is asked for, and print the table; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="campaigns, by name")
    parser.add_argument("--table", action="store_true", help="of what was played last")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    results = kept()
    if not options.table:
        os.chdir(PROJECT)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended
        with tempfile.TemporaryDirectory(prefix="boxloop-faults-") as folder:
            results = run(options.only, Path(folder))
    sys.stdout.write(table(results) + "\n")
    return 1 if any(result.problems for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
