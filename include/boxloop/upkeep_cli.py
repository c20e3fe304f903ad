"""Keep artifacts in order: `boxloop gc`, `boxloop verify` and `boxloop moved`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from boxloop import storage
from boxloop.artifacts import Run
from boxloop.cli_help import told
from boxloop.terminal import printable_lines

MOST = 20
"""Problems that are listed; the table counts all."""


def add_commands(commands: Any) -> None:
    """Add the commands to an argparse subparsers object."""
    for add in (_add_gc, _add_verify, _add_moved):
        add(commands)


def _add_gc(commands: Any) -> None:
    from boxloop.upkeep import KEEP

    gc = commands.add_parser(
        "gc",
        **told(
            "Say what of finished runs may go, and remove it with --delete. Data sets, figures, "
            "the report, the last detector and champions always stay, and more rounds can be "
            "added. A run that is at work is left alone. Exit code: 1 where a run was left alone.",
            "gc .boxloop",
            "gc .boxloop/experiments/trial --keep final --delete",
            "gc gs://bucket/runs --keep bundles",
        ),
    )
    gc.add_argument("place", help="a run's folder or an artifact root with many, or gs://")
    gc.add_argument(
        "--keep",
        choices=KEEP,
        default=KEEP[0],
        help="all-rounds: any round can be detected with, undone and done again; bundles: any "
        "round can be detected with; final: the last one can (default: all-rounds)",
    )
    gc.add_argument("--delete", action="store_true", help="remove it (default: only say)")
    gc.add_argument(
        "--unfinished",
        action="store_true",
        help="also of unfinished runs, their finished rounds; see to it that no task of them runs "
        "(default: they are left alone)",
    )
    gc.set_defaults(command=_gc)


def _add_verify(commands: Any) -> None:
    verify = commands.add_parser(
        "verify",
        **told(
            "Hold a whole run against the digests that were taken when it was written: every "
            "file, the chain of markers and summaries, bundles, and the images of the data. "
            "Nothing is changed. Exit code: 1 where something is damaged or missing.",
            "verify .boxloop/experiments/trial",
            "verify gs://bucket/runs/experiments/trial --skip-images",
        ),
    )
    verify.add_argument("run", help="the run's folder, or gs://")
    verify.add_argument(
        "--skip-images", action="store_true", help="not the images of the data, which may be many"
    )
    verify.set_defaults(command=_verify)


def _add_moved(commands: Any) -> None:
    parser = commands.add_parser(
        "moved",
        **told(
            "Say that what artifacts name lies elsewhere now: the artifact root itself, restored "
            "at another place, or the images. Nothing else is changed, and it can be said again.",
            "moved .boxloop --from /old/project/.boxloop --to .boxloop",
            "moved .boxloop/experiments/trial --from /old/photos --to gs://bucket/photos",
        ),
    )
    parser.add_argument("place", help="a run's folder or an artifact root with many, or gs://")
    parser.add_argument("--from", dest="old", required=True, help="the folder, or gs://, of before")
    parser.add_argument("--to", dest="new", required=True, help="where that is now")
    parser.set_defaults(command=_moved)


def _gc(options: argparse.Namespace) -> int:
    from boxloop import idleness, upkeep
    from boxloop.references import used_rounds

    runs = _runs(options.place)
    roots = {run.uri.rpartition("/experiments/")[0] for run in runs} - {""}
    used = {uri: rounds for root in roots for uri, rounds in used_rounds(root).items()}
    plans, is_any_busy = [], False
    for run in runs:
        busy = idleness.why_busy(run, unfinished_too=options.unfinished, tell=_write)
        if busy:
            _write(f"{run.uri}: left alone: {busy}")
            is_any_busy = True
            continue
        plan = upkeep.plan_removal(run, options.keep, used.get(run.uri, frozenset()))
        plans.append(plan)
        if options.delete:
            for _ in upkeep.remove(plan):
                pass
    _write(_gc_table(plans, options))
    return int(is_any_busy)


def _gc_table(plans: Sequence[Any], options: argparse.Namespace) -> str:
    from boxloop.upkeep import WHY, totals

    found = totals(plans)
    if not found:
        return f"Nothing may go of {len(plans)} runs with --keep {options.keep}."
    rows = [("what", "files", "size", "why it may go, and what is lost")]
    rows += [(k, f"{n:,}", size_text(size), WHY[k]) for k, (n, size) in found.items()]
    total, kept = sum(size for _, size in found.values()), sum(plan.kept for plan in plans)
    rows.append(("all", f"{sum(n for n, _ in found.values()):,}", size_text(total), ""))
    done = f"Removed from {len(plans)} runs; {size_text(kept)} stay."
    asked = (
        f"Of {len(plans)} runs, {size_text(kept)} would stay. Nothing was removed: add --delete."
    )
    return table(rows, right=(1, 2)) + "\n" + (done if options.delete else asked)


def _verify(options: argparse.Namespace) -> int:
    from boxloop.checks import STATES, WRONG
    from boxloop.contents import ORDER
    from boxloop.verification import prepare

    work = prepare(options.run, with_images=not options.skip_images)
    counts: Counter[tuple[str, str]] = Counter()
    problems: list[str] = []
    for done, found in enumerate(work.findings(), start=1):
        counts[found.kind, found.state] += 1
        if found.state in WRONG and len(problems) < MOST:
            problems.append(f"{found.state}: {found.name}: {found.detail}")
        _show_progress(done, work.total)
    states = [state for state in STATES if any(one == state for _, one in counts)]
    rows = [("what", *states)]
    for kind in ORDER:
        if any(one == kind for one, _ in counts):
            rows.append((kind, *(_count(counts[kind, state]) for state in states)))
    num_wrong = sum(count for (_, state), count in counts.items() if state in WRONG)
    _write("\n".join([table(rows, right=range(1, len(rows[0]))), *problems]))
    if num_wrong:
        more = f"; {num_wrong - len(problems)} more" if num_wrong > len(problems) else ""
        _write(f"{work.run.uri}: {num_wrong} files are damaged or missing{more}.")
        return 1
    _write(f"{work.run.uri}: nothing is damaged or missing.")
    return 0


def _moved(options: argparse.Namespace) -> int:
    from boxloop import moved

    old, new = options.old.rstrip("/"), storage.absolute(options.new)
    if f"{new}/".startswith(f"{old}/"):
        raise ValueError(f"{new} lies in {old}: give it another name, else no address is clear")
    if not storage.list_files(new):
        raise ValueError(f"there is nothing in {new}: copy it there first")
    owners = _owners(storage.absolute(options.place))
    for owner in owners:
        moved.add_rule(owner, old, new)
    _write(f"What lay in {old} is looked for in {new} now, by {len(owners)} runs and others.")
    return 0


def _owners(place: str) -> list[str]:
    """Return the folders of runs, libraries and champions at a place: itself, or those below."""
    from boxloop.moved import KINDS

    if storage.exists(Run(place).experiment):
        return [place]
    found = set()
    for kind in KINDS:
        for uri in storage.list_files(f"{place}/{kind}"):
            found.add(f"{place}/{kind}/" + uri.removeprefix(f"{place}/{kind}/").split("/")[0])
    if not found:
        raise ValueError(f"{place} holds no run: name a run's folder or an artifact root")
    return sorted(found)


def _runs(place: str) -> list[Run]:
    from boxloop.idleness import known_runs

    place = storage.absolute(place)
    if storage.exists(Run(place).experiment):
        return [Run(place)]
    if not (runs := known_runs(place)):
        raise ValueError(f"{place} holds no run: name a run's folder or an artifact root")
    return runs


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int]) -> str:
    """Return rows as a table for a terminal.

    Args:
        rows: of cells, the heading first.
        right: numbers of the columns that are set to the right.
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, strict=True)
        set_cells = (
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(cells)
        )
        lines.append("  ".join(set_cells).rstrip())
    return "\n".join(lines)


def size_text(size: float) -> str:
    """Return a number of bytes for people: `2.5 GB`."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty() and (done % 50 == 0 or done >= total):
        share = min(1.0, done / max(1, total))
        bar = ("#" * round(30 * share)).ljust(30)
        sys.stderr.write(f"\r[{bar}] {done:,} of about {total:,} files" + "\n" * (share == 1.0))


def _write(text: str) -> None:
    sys.stdout.write(printable_lines(text) + "\n")
    sys.stdout.flush()
