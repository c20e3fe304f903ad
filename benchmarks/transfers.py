"""Copy files to and from gs:// on an emulator, beside the library's own calls written by hand.

python benchmarks/transfers.py     some minutes, 2 GB of memory, 1.6 GB of temporary files

By hand means google.cloud.storage.transfer_manager with threads, as many as ours, connections for
all of them, and pieces for the large file. The emulator runs in a process of its own, in memory.

Prints, progress going to stderr:
transfers_WHAT ratio      files/s or bytes/s of ours over those by hand, for each of four: 2,000
                          files of 25 kB and one of 500 MB, up and down
transfers_memory ratio    peak memory of ours with the large file over that with one of half
                          its size; wanted: about 1
transfers_cache seconds   the small files down again, from the cache; no ratio
transfers ratio           the smallest of the four; wanted: at least 0.8

Each is measured in a new process, by turns, each way beginning every other turn; the best counts.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from boxloop import storage

WORKS = ("files_up", "files_down", "large_up", "large_down")
THREADS = 16
PIECE = 32 * 2**20
BUCKET = "gs://bucket"


def main() -> None:
    """Make the files, start the emulator, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--mb", type=int, default=500)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("WORK", "HOW", "FOLDER"))
    options = parser.parse_args()
    if options.one:
        sys.stdout.write(measure(*options.one))
        return
    with tempfile.TemporaryDirectory(prefix="boxloop-bench-") as name, emulator():
        folder = make_files(Path(name), options.files, options.mb)
        seconds, peaks = run_turns(folder, options.turns)
        tell(folder, seconds, peaks, options)


def make_files(folder: Path, files: int, mb: int) -> Path:
    """Write files that do not compress: small ones, a large one, and one of half its size."""
    for number in range(files):
        path = folder / "files" / f"{number:05d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(25_000))
    for name, size in (("large", mb), ("half", mb // 2)):
        (folder / name).mkdir()
        with (folder / name / "checkpoint").open("wb") as file:
            for _ in range(size):
                file.write(os.urandom(1_000_000))
    return folder


@contextlib.contextmanager
def emulator() -> Iterator[None]:
    """Serve a bucket in a process of its own."""
    command = [sys.executable, "-m", "tests.faulty_bucket", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            os.environ["STORAGE_EMULATOR_HOST"] = line.split("=")[1].split()[0]
            os.environ |= {"NO_PROXY": "127.0.0.1", "BOXLOOP_CACHE_GB": "0"}
            yield
        finally:
            process.kill()


def run_turns(folder: Path, turns: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the fewest seconds and the highest peak in MiB of each work, by "WORK HOW"."""
    seconds: dict[str, float] = {}
    peaks: dict[str, float] = {}
    for turn in range(turns):
        for work in (*WORKS, "half_up", "half_down"):
            for how in ("hand", "ours")[:: 1 if turn % 2 else -1]:
                key = f"{work} {how}"
                took, peak = one(work, how, folder)
                seconds[key] = min(took, seconds.get(key, took))
                peaks[key] = max(peak, peaks.get(key, peak))
                _tell(f"turn {turn + 1}: {key} {took:.2f} s, peak {peak:.0f} MiB")
    return seconds, peaks


def one(work: str, how: str, folder: Path) -> tuple[float, float]:
    """Measure in a new process; return seconds and peak memory in MiB."""
    command = [sys.executable, "-W", "ignore", __file__, "--one", work, how, str(folder)]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return float(found[0]), float(found[1])


def measure(work: str, how: str, folder: str) -> str:
    """Do one work in this process; return its seconds and this process's peak memory."""
    name, direction = work.split("_")
    uri = f"{BUCKET}/{how}/{name}"
    if direction == "up":
        storage.delete_folder(uri)
    from google.cloud.storage import transfer_manager  # not part of the work

    del transfer_manager
    with tempfile.TemporaryDirectory(dir=folder) as target:
        started = time.perf_counter()
        if how == "ours":
            if direction == "up":
                storage.upload_folder(Path(folder) / name, uri)
            else:
                storage.download_folder(uri, Path(target))
        else:
            by_hand(name, direction, Path(folder) / name, Path(target))
        seconds = time.perf_counter() - started
        if direction == "down":
            check(Path(folder) / name, Path(target))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{seconds} {peak}\n"


def by_hand(name: str, direction: str, source: Path, target: Path) -> None:
    """Copy as one who knows the library well would."""
    from google.cloud.storage import Client, transfer_manager
    from requests.adapters import HTTPAdapter

    client = Client()
    client._http.mount("http://", HTTPAdapter(pool_maxsize=THREADS))
    bucket, prefix = client.bucket("bucket"), f"hand/{name}/"
    threads = {"worker_type": transfer_manager.THREAD, "max_workers": THREADS}
    if direction == "up" and name == "files":
        names = [path.name for path in source.iterdir()]
        transfer_manager.upload_many_from_filenames(
            bucket,
            names,
            source_directory=str(source),
            blob_name_prefix=prefix,
            raise_exception=True,
            **threads,
        )
    elif direction == "up":
        bucket.blob(f"{prefix}checkpoint").upload_from_filename(str(source / "checkpoint"))
    elif name == "files":
        names = [blob.name.removeprefix(prefix) for blob in bucket.list_blobs(prefix=prefix)]
        transfer_manager.download_many_to_path(
            bucket,
            names,
            destination_directory=str(target),
            blob_name_prefix=prefix,
            raise_exception=True,
            **threads,
        )
    else:
        blob = bucket.get_blob(f"{prefix}checkpoint")
        threads["max_workers"] = THREADS // 2
        transfer_manager.download_chunks_concurrently(
            blob, str(target / "checkpoint"), chunk_size=PIECE, **threads
        )
    client.close()


def check(source: Path, target: Path) -> None:
    """Raise RuntimeError unless all has come."""
    sizes = [
        {path.name: path.stat().st_size for path in folder.iterdir()} for folder in (source, target)
    ]
    if sizes[0] != sizes[1]:
        raise RuntimeError(f"{target}: other files have come than are in {source}")


def tell(
    folder: Path,
    seconds: dict[str, float],
    peaks: dict[str, float],
    options: argparse.Namespace,
) -> None:
    """Print the rates on stderr and the ratios on stdout."""
    ratios = {work: seconds[f"{work} hand"] / seconds[f"{work} ours"] for work in WORKS}
    for work in WORKS:
        amount, unit = (options.files, "files") if "files" in work else (options.mb, "MB")
        rates = [amount / seconds[f"{work} {how}"] for how in ("ours", "hand")]
        _tell(f"{work}: {rates[0]:.0f} {unit}/s, by hand {rates[1]:.0f}")
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        os.environ |= {"BOXLOOP_CACHE": cache, "BOXLOOP_CACHE_GB": "5"}
        for time_round in ("first", "again"):
            started = time.perf_counter()
            with storage.local_folder(f"{BUCKET}/ours/files"):
                _tell(f"small files, {time_round}: {time.perf_counter() - started:.2f} s")
        sys.stdout.write(f"transfers_cache seconds={time.perf_counter() - started:.2f}\n")
    for work, ratio in ratios.items():
        sys.stdout.write(f"transfers_{work} ratio={ratio:.2f}\n")
    largest = [max(peaks[f"{name}_{way} ours"] for way in ("up", "down")) for name in _BOTH]
    _tell(f"peak memory {largest[0]:.0f} MiB with the large file, {largest[1]:.0f} with the half")
    sys.stdout.write(f"transfers_memory ratio={largest[0] / largest[1]:.2f}\n")
    sys.stdout.write(f"transfers ratio={min(ratios.values()):.2f}\n")


_BOTH = ("large", "half")


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
