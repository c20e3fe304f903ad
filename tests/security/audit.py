"""Ask OSV which packages of the lock files have known holes: `make audit`.

python -m tests.security.audit [--url URL] [FILE ...]: exit code 0 if none has, 1 if some have, 2 if
OSV cannot be asked. Sent are names and versions of public packages, and nothing else.

Source of the interface: https://google.github.io/osv.dev/post-v1-querybatch
"""

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import httpx

URL = "https://api.osv.dev/v1/querybatch"
LOCKS = (
    *("requirements.txt", "requirements-dev.txt"),
    *("docker/airflow.txt", "docker/cuda.txt", "docker/emulator.txt"),
)
AT_ONCE = 500
_PINNED = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)")

Pinned = tuple[str, str]


def read_locks(paths: Iterable[str]) -> list[Pinned]:
    """Return name and version of all packages in lock files, each once.

    Raises:
        ValueError: if a line of a lock file pins no version.
    """
    found = set()
    for path in paths:
        for number, line in enumerate(Path(path).read_text().splitlines(), start=1):
            text = line.strip()
            if not text or text.startswith(("#", "--hash")):
                continue
            if not (pinned := _PINNED.match(text)):
                raise ValueError(f"{path}: line {number} pins no version: {text!r}")
            found.add((pinned[1].lower(), pinned[2]))
    return sorted(found)


def find_holes(packages: Sequence[Pinned], url: str) -> dict[Pinned, list[str]]:
    """Return the packages with known holes, and what these are called.

    Raises:
        httpx.HTTPError: if they cannot be asked for.
    """
    holes: dict[Pinned, list[str]] = {}
    for start in range(0, len(packages), AT_ONCE):
        part = packages[start : start + AT_ONCE]
        asked = [{"package": {"name": n, "ecosystem": "PyPI"}, "version": v} for n, v in part]
        answer = httpx.post(url, json={"queries": asked}, timeout=30).raise_for_status()
        results = answer.json()["results"]
        for package, result in zip(part, results, strict=True):
            if ids := [each["id"] for each in result.get("vulns", [])]:
                holes[package] = sorted(ids)
    return holes


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="known holes of the packages in lock files")
    parser.add_argument("files", nargs="*", default=LOCKS)
    parser.add_argument("--url", default=URL)
    options = parser.parse_args(arguments)
    packages = read_locks(options.files)
    try:
        holes = find_holes(packages, options.url)
    except httpx.HTTPError as error:
        sys.stderr.write(
            f"audit: {len(packages)} packages were NOT checked: {options.url} cannot be asked "
            f"({error}). Run it where there is a way out to that host\n"
        )
        return 2
    for (name, version), ids in holes.items():
        sys.stdout.write(f"{name} {version}: {', '.join(ids)}\n")
    sys.stdout.write(f"{len(packages)} packages, {len(holes)} with known holes\n")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
