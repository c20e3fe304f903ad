"""What a run has come to, to hold a disturbed one against one that nothing disturbed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from boxloop import bundle, checks, steps, storage, verification
from boxloop.artifacts import Run
from boxloop.contents import CHECKPOINTS, EVENTS, LEASES, NOTES, TIMINGS, content_of
from boxloop.data.dataset import from_parquet, read_dataset
from boxloop.ledger import marker_name
from boxloop.records import read_manifest

LEFT_OUT: Mapping[str, str] = {
    r"/timings/": "when a task ran, and how long",
    r"/events/|/checkpoints/train/events[.]out": "TensorBoard's events: each attempt "
    "writes its own, with the time in it",
    r"/checkpoints/checkpoint$": "TensorFlow's list of checkpoints has their times",
    r"/checkpoints/.*tempstate|/checkpoints/.*_temp/": "what TensorFlow leaves of a checkpoint "
    "that it was writing when it was killed; no reader looks there",
    r"/model/fingerprint[.]pb$": "TensorFlow puts a random number there",
    r"/model/detector_int8[.]tflite$": "TensorFlow Lite's quantizer gives other bytes each time",
    r"/digests/.*[.]json$": "digests of files with such content; each is held against its file",
    r"/report/index[.]html$": "the page shows durations and dates; its figures are in summary.json",
}
"""Pattern of names to why their bytes are not compared; that the files are there is."""
LEFTOVERS = re.compile(r"tempstate|_temp/|events[.]out")
"""Files of which a disturbed run may have more."""
FIELDS = frozenset(
    {
        "bundle_digest",  # of a bundle with the two files above
        "digest",  # the same; that of each other file of the bundle is compared
        "experiment_id",
        "fingerprint",  # of the inputs, the bundle among them
        "parent_digest",  # of the summary before, which has its seconds; `untrue` follows the chain
        "seconds",
        "times",  # of rounds, in the report
        "total_seconds",
    }
)
"""What is left out of JSON."""
UNNOTED = frozenset({CHECKPOINTS, EVENTS, LEASES, NOTES, TIMINGS})
"""Kinds of files of which nobody keeps digests."""
PART = re.compile(r"-[0-9a-f]{16}(?=[.])")
"""In the name of a part of the detections: the digest of the bundle again."""


def outcome(run: Run) -> dict[str, str]:
    """Return the name of every file of a run to the digest of its content.

    The run's own address and that of its root are taken out of the content, and so is what differs
    between any two undisturbed runs: `LEFT_OUT` and `FIELDS`.
    """
    found = {}
    for uri in storage.list_files(run.uri):
        name = PART.sub("", uri.removeprefix(run.uri))
        reason = next((why for each, why in LEFT_OUT.items() if re.search(each, name)), None)
        if reason is None:
            found[name] = _digest(run, name, storage.read_bytes(uri))
        elif not LEFTOVERS.search(name):
            found[name] = reason
    return found


def differences(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """Return what is missing, too much, or other than expected, a line each."""
    lines = [f"missing: {name}" for name in sorted(expected.keys() - found.keys())]
    lines += [f"too much: {name}" for name in sorted(found.keys() - expected.keys())]
    both = sorted(found.keys() & expected.keys())
    return lines + [f"other: {name}" for name in both if found[name] != expected[name]]


def untrue(run: Run, rounds: int) -> list[str]:
    """Return what a reader would trust and must not, a line each: every manifest is followed."""
    lines = []
    for number in range(1, rounds + 1):
        for what, check in CHECKS.items():
            try:
                check(run, number)
            except Exception as error:  # whatever it is, a reader would meet it
                lines.append(f"round {number}: {what}: {error}")
    return lines


def _check_markers(run: Run, number: int) -> None:
    for task in steps.ROUND_TASKS:
        if steps.finished_value(run, number, marker_name(task)) is None:
            raise ValueError(f"{task} is not done, or not with these inputs")


def _check_bundle(run: Run, number: int) -> None:
    with storage.local_folder(run.model(number)) as folder:
        bundle.read_bundle(folder)


def _check_tables(run: Run, number: int) -> None:
    read_dataset(run.dataset(number + 1))
    for uri in read_manifest(run.records(number))["shard"].unique():
        if not storage.exists(uri):
            raise ValueError(f"{uri} is missing")
    for uri in storage.list_files(run.round(number)):
        if uri.endswith(".parquet"):
            from_parquet(storage.read_bytes(uri))
        elif uri.endswith(".json"):
            storage.read_json(uri)


def _check_digests(run: Run, number: int) -> None:
    for one in verification.prepare(run.uri, with_images=False).findings():
        is_fine = one.state == checks.OK or (one.state == checks.UNKNOWN and one.kind in UNNOTED)
        if not is_fine and content_of(one.name).round_number == number:
            raise ValueError(f"{one.name}: {one.state}: {one.detail}")


def _check_chain(run: Run, number: int) -> None:
    steps.check_previous_round(run.uri, number + 1)


CHECKS: Mapping[str, Callable[[Run, int], None]] = {
    "a marker does not fit": _check_markers,
    "the bundle is damaged": _check_bundle,
    "a table is damaged": _check_tables,
    "a file is not what was written": _check_digests,
    "the chain of rounds is broken": _check_chain,
}
"""What a reader would trust, followed to its end."""


def _digest(run: Run, name: str, content: bytes) -> str:
    """Digest a file's content without what hangs on where and when it was made."""
    if name.endswith(".parquet"):
        content = from_parquet(content).to_json(orient="split").replace("\\/", "/").encode()
    if name.endswith((".parquet", ".yaml", ".csv", ".md")):
        content = _without_place(run, content)
    elif name.endswith(".json"):
        value = _without_fields(json.loads(_without_place(run, content)))
        content = json.dumps(value, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def _without_place(run: Run, content: bytes) -> bytes:
    text = content.decode().replace(run.uri, "RUN")
    text = text.replace(run.uri.rpartition("/experiments/")[0], "ROOT")
    text = re.sub(r"(?<=the digest `)[0-9a-f]{64}", "DIGEST", text)
    return PART.sub("", text).encode()


def _without_fields(value: Any, inside: str = "") -> Any:
    if isinstance(value, dict):
        kept = {k: _without_fields(v, k) for k, v in value.items() if k not in FIELDS}
        if inside == "files":  # of a bundle
            kept = {k: v for k, v in kept.items() if k not in _UNSTEADY}
        return kept
    return [_without_fields(each) for each in value] if isinstance(value, list) else value


_UNSTEADY = ("experiment.yaml", "fingerprint.pb", "detector_int8.tflite")
"""Files of a bundle whose digest in bundle.json differs: the first holds the run's address."""
