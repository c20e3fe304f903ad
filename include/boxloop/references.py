"""Which rounds of a root's runs others need: champions, old and new, and runs that began there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Set

from boxloop import champion, moved, storage
from boxloop.artifacts import Run
from boxloop.idleness import known_runs
from boxloop.yaml_text import parse_yaml

Used = Mapping[str, Set[int]]
"""URI of a run to its rounds whose bundle and weights somebody needs."""


def used_rounds(root: str) -> Used:
    """Return the rounds below an artifact root that a champion or another run refers to.

    Every champion there ever was counts, since each can be gone back to. A root may be seen under
    another path than when they were written, so a run that has the same id here is taken for it.

    Raises:
        ValueError: if a champion is of a run that is neither here nor at its address.
    """
    found: defaultdict[str, set[int]] = defaultdict(set)
    for run_uri, number in (*_of_champions(root), *_of_runs(root)):
        found[run_uri].add(number)
    return found


def _of_champions(root: str) -> Iterator[tuple[str, int]]:
    uris = storage.list_files(f"{root}/champions")
    for name in sorted({uri.split("/")[-2] for uri in uris}):
        for record in champion.history(root, name):
            run_uri = _as_seen(record["run_uri"], root)
            if not run_uri.startswith(f"{root}/") and not storage.exists(Run(run_uri).experiment):
                raise ValueError(_where_is(run_uri, root, name))
            yield run_uri, int(record["round"])


def _of_runs(root: str) -> Iterator[tuple[str, int]]:
    for run in known_runs(root):
        found = _continued_from(run)
        run_uri, _, number = (found or "").rpartition("/round_")
        if run_uri and number.isdigit():
            yield _as_seen(run_uri, root), int(number)


def _continued_from(run: Run) -> str | None:
    """Return the round that a run began with, None for none; of damaged settings nobody knows."""
    try:
        settings = parse_yaml(storage.read_bytes(run.experiment), run.experiment)
        found = settings["train"].get("continue_from")
        return moved.here(str(found), run.uri) if found else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _as_seen(run_uri: str, root: str) -> str:
    """Return a run's address, as this root has it if it has a run of that id."""
    if run_uri.startswith(f"{root}/"):
        return run_uri
    own = Run.of(root, run_uri.rpartition("/")[2])
    return own.uri if storage.exists(own.experiment) else run_uri


def _where_is(run_uri: str, root: str, name: str) -> str:
    return (
        f"champion {name} is of {run_uri}, which is not there, nor a run of that id in {root}. "
        "Say where it lies now, so that it is kept: "
        f"boxloop moved {root} --from {run_uri.rpartition('/experiments/')[0]} --to {root}"
    )
