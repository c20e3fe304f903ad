"""What of a finished run may go, and its removal: `boxloop gc`.

What is to go is written down first, then removed, what makes readers trust it before the rest. So
a file that is missing is never missing without a word, and what was cut off is finished by the same
call. Links are not followed: what lies behind them is not the run's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from boxloop import collected, contents, storage
from boxloop.artifacts import Run
from boxloop.contents import BUNDLES, CHECKPOINTS, DETECTIONS, LEASES, ROLLED_BACK, WEIGHTS
from boxloop.ledger import finished_rounds

KEEP = ("all-rounds", "bundles", "final")
"""How much stays, from most to least."""
LEFTOVERS = "leftovers"
LEFT_SECONDS = 3600.0
"""How old a hidden file is that nobody writes any more."""

WHY = {
    CHECKPOINTS: "only for going on with a training that is finished; TensorBoard loses its curves",
    WEIGHTS: "what the next round began with: rounds after it cannot be done again",
    BUNDLES: "detectors of earlier rounds, which no champion and no other run uses",
    DETECTIONS: "judged already; what came of them is in adoptions.parquet",
    ROLLED_BACK: "undone rounds, for good",
    LEFTOVERS: "left by tasks that were killed, or given up",
}
"""Why something may go, or what is lost."""
_OF_POLICY = {"all-rounds": (), "bundles": (WEIGHTS,), "final": (WEIGHTS, BUNDLES, DETECTIONS)}
_FIRST = ("bundle.json", "checkpoint")
"""Files that make readers trust others; they go first."""


class Item(NamedTuple):
    """Files that may go for one reason."""

    kind: str
    """A key of WHY."""
    round_number: int
    """From 1; 0: of the run as a whole."""
    names: Sequence[str]
    """Below the run, in the order in which they go."""
    size: int
    """Bytes."""


class Plan(NamedTuple):
    """What of a run may go."""

    run: Run
    items: Sequence[Item]
    kept: int
    """Bytes that stay."""


def plan_removal(run: Run, keep: str, used: Collection[int]) -> Plan:
    """Return what of a run may go; nothing is removed, and nobody is asked whether it is at work.

    Args:
        run: the run.
        keep: one of KEEP.
        used: rounds whose bundle and weights somebody else needs: champions, other runs.
    """
    stamps = storage.list_stamps(run.uri)
    sizes = {name: stamp.size for name, stamp in stamps.items()}
    left = storage.leftovers(run.uri, older_than=LEFT_SECONDS)
    last = finished_rounds(run)
    groups: dict[tuple[str, int], list[str]] = {}
    for name in sizes:
        kind, number = contents.content_of(name)
        if _may_go(kind, number, last, keep, used):
            key = (LEFTOVERS, 0) if kind == LEASES else (kind, number)
            groups.setdefault(key, []).append(name)
    rest = {name for names in groups.values() for name in names}
    stray = [name for name in _stray(run, sizes, last) if name not in rest]
    if stray or left:
        groups[LEFTOVERS, 0] = [*groups.get((LEFTOVERS, 0), []), *stray, *left]
    sizes |= left
    items = [
        Item(kind, number, sorted(names, key=_order), sum(sizes[name] for name in names))
        for (kind, number), names in sorted(groups.items())
    ]
    return Plan(run, items, sum(sizes.values()) - sum(item.size for item in items))


def remove(plan: Plan) -> Iterator[Item]:
    """Remove what a plan says; give each item when it is gone.

    A removal that was cut off is finished by a new plan.
    """
    for item in plan.items:
        number = item.round_number
        if number:
            said = {"files": len(item.names), "size": item.size}
            collected.note(plan.run, number, item.kind, **said)
        uris = [f"{plan.run.uri}/{name}" for name in item.names]
        first = [uri for uri in uris if uri.endswith(_FIRST)]
        rest = [uri for uri in uris if not uri.endswith(_FIRST)]
        for batch in (first, rest):
            _delete_all(batch)
        for folder in sorted({"/".join(name.split("/")[:2]) for name in item.names}):
            storage.delete_empty_folders(f"{plan.run.uri}/{folder}")
        if number:
            collected.finish(plan.run, number, item.kind)
        yield item


def _may_go(kind: str, number: int, last: int, keep: str, used: Collection[int]) -> bool:
    """Whether a file of a finished round may go.

    Args:
        kind: of boxloop.contents.
        number: of its round, 0 for none.
        last: the last finished round.
        keep: one of KEEP.
        used: rounds whose bundle and weights somebody else needs.
    """
    if kind == ROLLED_BACK:
        return True
    if not 1 <= number <= last:
        return False
    if kind in (CHECKPOINTS, LEASES):
        return True
    if number in used and kind in (WEIGHTS, BUNDLES):
        return False
    return number < last and kind in _OF_POLICY[keep]


def _stray(run: Run, names: Iterable[str], last: int) -> list[str]:
    """Return parts of detections in finished rounds that no marker names: given up attempts."""
    found: list[str] = []
    parts: dict[int, list[str]] = {}
    for name in names:
        kind, number = contents.content_of(name)
        if kind == DETECTIONS and 1 <= number <= last:
            parts.setdefault(number, []).append(name)
    for number, there in sorted(parts.items()):
        if named := _named_parts(run, number):
            found += [name for name in there if _stem(name) not in named]
    return found


def _named_parts(run: Run, number: int) -> set[str]:
    """Return the parts that a round's markers name, without suffix; none where nobody knows."""
    folder = run.marker(number, "predict").rpartition("/")[0]
    markers = [uri for uri in storage.list_files(folder) if "/predict" in uri]
    values = (storage.read_json(uri)["value"] for uri in markers)
    uris = (uri for value in values for uri in value.get("detections_uris", []))
    return {_stem(contents.name_below(uri)) for uri in uris}


def _stem(name: str) -> str:
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file.partition('.')[0]}"


def _order(name: str) -> tuple[bool, str]:
    return not name.endswith(_FIRST), name


def _delete_all(uris: Sequence[str]) -> None:
    threads = storage.readers(uris[0]) if uris else 1
    for _ in storage.map_files(storage.delete, uris, threads=threads):
        pass


def totals(plans: Iterable[Plan]) -> Mapping[str, tuple[int, int]]:
    """Return the files and bytes that may go, by kind, in the order of WHY."""
    found = dict.fromkeys(WHY, (0, 0))
    for item in (item for plan in plans for item in plan.items):
        files, size = found[item.kind]
        found[item.kind] = files + len(item.names), size + item.size
    return {kind: sums for kind, sums in found.items() if sums[0]}
