"""Hold a whole run against its digests, file by file; nothing is changed."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from boxloop import checks, collected, contents, digests, ordered, storage
from boxloop.artifacts import Run
from boxloop.checks import DAMAGED, OK, REMOVED, UNEXPECTED, UNKNOWN, Finding
from boxloop.contents import BUNDLES, DETECTIONS, WEIGHTS, Content, content_of
from boxloop.image_check import check_images, count_images
from boxloop.ledger import ROUND_TASKS, exported_digest
from boxloop.listing import Stamp

_AHEAD = 256  # files under work at a time, at the most
_ADDED = ("metrics.json", "MODEL_CARD.md")  # to a bundle, after it was exported


@dataclass(frozen=True)
class Verification:
    """What there is to hold against what."""

    run: Run
    stamps: Mapping[str, Stamp]
    """Name below the run to size, of all files that are there."""
    expected: Mapping[str, digests.Digest]
    """Name to what the file should hold; a size of -1: not known; an empty digest as well."""
    told: tuple[Finding, ...]
    """What was found out while this was put together."""
    num_images: int

    @property
    def total(self) -> int:
        """Return about how many findings there will be."""
        return len(self.stamps) + self.num_images

    def findings(self) -> Iterator[Finding]:
        """Give what is found out, while it is; a file at a time in memory, or a few on gs://."""
        yield from self.told
        threads = max(2, storage.readers(self.run.uri))
        names = iter(self.expected)
        yield from ordered.map_ordered(self._check, names, threads=threads, limit=_AHEAD)
        seen = {*self.expected, *(one.name for one in self.told)}
        for name in self.stamps:
            if name not in seen:
                yield self._unforeseen(name)
        if self.num_images:
            yield from check_images(self.run, self.stamps)

    def _check(self, name: str) -> Finding:
        kind, expected = content_of(name).kind, self.expected[name]
        stamp = self.stamps.get(name)
        if stamp is None:
            return checks.missing(self.run, name)
        if expected.size not in (-1, stamp.size):
            problem: str | None = f"has {stamp.size} bytes, {expected.size} were written"
        elif not expected.sha256:
            return Finding(kind, UNKNOWN, name)
        else:
            problem = _problem_of_content(f"{self.run.uri}/{name}", expected.sha256)
        if problem:
            detail = f"{problem}; {checks.what_to_do(self.run, name)}"
            return Finding(kind, DAMAGED, name, detail)
        return Finding(kind, OK, name)

    def _unforeseen(self, name: str) -> Finding:
        kind, number = content_of(name)
        folder = f"round_{number:02d}/detections/"
        is_left = kind == DETECTIONS and any(one.startswith(folder) for one in self.expected)
        is_left &= f"{name.removesuffix('.unreadable.json')}.parquet" not in self.expected
        is_known = kind != contents.OTHERS and not is_left
        return Finding(kind, UNKNOWN if is_known else UNEXPECTED, name)


def prepare(run_uri: str, *, with_images: bool = True) -> Verification:
    """Read what the files of a run should hold.

    Args:
        run_uri: the run's folder, or gs://.
        with_images: hold the images of the data against the data set's digests as well.

    Raises:
        ValueError: if there is no run.
    """
    run = Run(storage.absolute(run_uri))
    if not storage.exists(run.experiment):
        raise ValueError(f"{run.uri} holds no run: it has no experiment.yaml")
    stamps = storage.list_stamps(run.uri)
    told = [checks.check_settings(run)]
    for check in (checks.check_markers, checks.check_summaries, checks.check_decisions):
        told += check(run, stamps)
    expected = _named_by_markers(run, stamps)
    for name in stamps:
        if _holds_digests(name, stamps):
            told.append(_read_digests(run, name, expected))
    told += _read_bundles(run, stamps, expected)
    told += checks.check_promotions(run, _weights_digests(expected))
    told += _leave_out_removed(run, stamps, expected)
    for one in told:
        expected.pop(one.name, None)
    num_images = count_images(run, stamps) if with_images else 0
    return Verification(run, stamps, expected, tuple(told), num_images)


def _named_by_markers(run: Run, names: Mapping[str, Stamp]) -> dict[str, digests.Digest]:
    """Return the files of a run that markers name: also those of runs before there were digests."""
    expected = {}
    for name in names:
        kind, number = content_of(name)
        if kind != contents.MARKERS:
            continue
        try:
            value = storage.read_json(f"{run.uri}/{name}")["value"]
            for uri in _uris(value):
                expected[contents.name_below(uri)] = digests.Digest("", -1)
            if sha256 := value.get("dataset_digest"):
                boxes = f"{run.dataset(number)}/boxes.parquet".removeprefix(f"{run.uri}/")
                expected[boxes] = digests.Digest(str(sha256), -1)
        except checks.BROKEN:
            continue  # told of with the markers
    return expected


def _uris(value: Mapping[str, object]) -> list[str]:
    """Return the files that a task's value names."""
    found: list[str] = []
    for key in ("detections_uris", "embeddings_uris"):
        found += value.get(key) or []  # type: ignore[arg-type]
    for uris in dict(value.get("shards") or {}).values():  # type: ignore[call-overload]
        found += uris
    return found


def _holds_digests(name: str, names: Mapping[str, Stamp]) -> bool:
    """Whether a file holds digests that count.

    Not those of a task that has no marker yet, nor of a worker: what still counts of them its task
    has as well.
    """
    kind, number = content_of(name)
    folder, _, file = name.rpartition("/")
    if kind != contents.NOTES or not folder.endswith("digests"):
        return False
    is_task = file.removesuffix(".json") in ROUND_TASKS
    return not number or (is_task and f"round_{number:02d}/done/{file}" in names)


def _read_digests(run: Run, name: str, expected: dict[str, digests.Digest]) -> Finding:
    try:
        found = digests.parse(storage.read_json(f"{run.uri}/{name}"), name)
    except checks.BROKEN as error:
        detail = f"{error}; what {name} tells of cannot be checked"
        return Finding(contents.NOTES, DAMAGED, name, detail)
    for one, digest in found.items():
        if content_of(one).kind != BUNDLES or one.endswith(_ADDED):
            expected[one] = digest
    return Finding(contents.NOTES, OK, name)


def _read_bundles(
    run: Run, names: Mapping[str, Stamp], expected: dict[str, digests.Digest]
) -> Iterator[Finding]:
    """Take over what bundles say of their files, once they are known to be the exported ones."""
    markers = (n for n in names if content_of(n).kind == contents.MARKERS)
    for number in sorted({content_of(n)[1] for n in markers if n.endswith("/export.json")}):
        name = f"{run.model(number)}/bundle.json".removeprefix(f"{run.uri}/")
        if name not in names:
            expected[name] = digests.Digest("", -1)
            continue
        try:
            expected |= _files_of_bundle(run, number, name)
        except checks.BROKEN as error:
            detail = f"{error}; {checks.what_to_do(run, name)}"
            yield Finding(BUNDLES, DAMAGED, name, detail)
        else:
            yield Finding(BUNDLES, OK, name)


def _files_of_bundle(run: Run, number: int, name: str) -> dict[str, digests.Digest]:
    from boxloop.bundle import parse_bundle

    bundle = parse_bundle(storage.read_bytes(f"{run.uri}/{name}"), name)
    if exported_digest(run, number) not in (None, bundle["digest"]):
        raise ValueError("it is of another export than the round's marker says")
    folder = name.rpartition("/")[0]
    return {f"{folder}/{one}": digests.Digest(sha, -1) for one, sha in bundle["files"].items()}


def _leave_out_removed(
    run: Run, names: Mapping[str, Stamp], expected: dict[str, digests.Digest]
) -> Iterator[Finding]:
    """Expect nothing that gc has removed, and tell of it, file by file."""
    there = Counter(content_of(name) for name in names)
    gone = Counter(content_of(name) for name in expected if name not in names)
    for number in sorted({content.round_number for content in (*there, *gone)} - {0}):
        try:
            removed = collected.read(run, number)
        except checks.BROKEN as error:
            name = run.collected(number).removeprefix(f"{run.uri}/")
            yield Finding(contents.NOTES, DAMAGED, name, f"{error}; restore it from a backup")
            continue
        for kind, said in removed.items():
            left = there[Content(kind, number)]
            for _ in range(max(0, int(said["files"]) - left)):
                yield Finding(kind, REMOVED, f"round_{number:02d}/{kind}", f"on {said['at'][:10]}")
            for name in [n for n in expected if n not in names]:
                if content_of(name) == (kind, number):
                    del expected[name]


def _weights_digests(expected: Mapping[str, digests.Digest]) -> dict[int, str]:
    """Return the digest of each round's weights, as `boxloop.training.weights_digest` has it."""
    found: dict[int, list[list[str]]] = {}
    for name in sorted(expected):
        kind, number = content_of(name)
        if kind == WEIGHTS and expected[name].sha256:
            below = name.removeprefix(f"round_{number:02d}")
            found.setdefault(number, []).append([below, expected[name].sha256])
    return {
        number: hashlib.sha256(json.dumps(one).encode()).hexdigest()
        for number, one in found.items()
    }


def _problem_of_content(uri: str, sha256: str) -> str | None:
    try:
        return None if storage.digest(uri) == sha256 else "is not what was written"
    except OSError as error:
        return f"cannot be read ({error})"
