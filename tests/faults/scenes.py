"""What is played where: the campaigns, and the Airflows that they need."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import bucket, clock, database, disk, parts, twice
from tests.faults.campaign import Act, Campaign
from tests.faults.kills import other_kills, round_kills
from tests.faults.stage import Stage
from tests.faulty_bucket import FaultyBucket, serve

PARSING, WRITING = ("parse_annotations", 1, "start"), ("write_tfrecords", 1, "start")
TRAINING, BETWEEN = ("train", 1, "start"), ("train", 1, "middle")
EXPORTING, EVALUATING = ("export", 1, "start"), ("evaluate", 1, "start")
PREDICTING, MATCHING = ("predict", 1, "start"), ("match_labels", 1, "start")
STRIKES: Sequence[tuple[parts.Moment, str, str, dict[str, Any]]] = (
    (PARSING, "answers 503", "status", {"status": 503, "count": 2}),
    (WRITING, "answers 429", "status", {"status": 429, "count": 3}),
    (TRAINING, "obeys, then answers 503", "late_status", {"where": "POST|PUT", "count": 2}),
    (BETWEEN, "cuts the connection", "cut_before", {"count": 3}),
    (EXPORTING, "obeys, then cuts the connection", "cut_after", {"count": 2}),
    (EXPORTING, "cuts an answer half-way", "cut_answer", {"where": "GET.*alt=media"}),
    (PREDICTING, "hangs", "hang", {"seconds": 20.0}),
    (EVALUATING, "is slow", "slow", {"seconds": 3.0, "count": 5}),
    (EVALUATING, "changes a byte of an answer", "corrupt", {"where": "GET.*alt=media"}),
)
"""When, what a bucket does, and what makes it do so; in the order of a round."""
log = logging.getLogger("faults")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """An Airflow and what is played on it; or why it cannot be."""

    stage: Stage | None = None
    campaigns: Sequence[Campaign] = ()
    reason: str = ""


def plain(folder: Path, stack: ExitStack) -> Setting:
    """Faults of processes, of Airflow's parts, of disks and buckets."""
    root = folder / "runs"
    disks = disk_campaigns()
    if disks:
        stack.enter_context(disk.own_disk(root))
    faulty = stack.enter_context(serve())
    os.environ["STORAGE_EMULATOR_HOST"] = faulty.url
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"
    kills = [*round_kills(1), *other_kills()]
    twins = [*twice.twins(), twice.zombie()]
    return Setting(
        stage=Stage(folder, root=str(root)),
        campaigns=[
            # below another root, where nothing is drawn yet
            Campaign(name="kills", root=str(root / "new"), faults=kills),
            Campaign(name="twins", faults=twins, last=twice.failed_twins),
            Campaign(name="parts", rounds=2, acts=part_acts()),
            Campaign(name="workers", acts=worker_acts()),
            *disks,
            Campaign(name="bucket", root=f"{faulty.uri}/runs", acts=bucket_acts(faulty)),
            Campaign(
                name="second-run",
                acts=[twice.second_run(("gate", 1, "start"))],
                last=twice.failed_twins,
            ),
        ],
    )


def part_acts() -> Sequence[Act]:
    """Return the deaths of Airflow's parts; the gate of the second round waits meanwhile."""
    return (
        parts.kill_part(parts.PROCESSOR, ("gate", 1, "start"), with_children=True),
        parts.kill_part(parts.SCHEDULER, TRAINING, with_children=True),
        parts.kill_part(parts.TRIGGERER, BETWEEN, with_children=True),
        parts.kill_part(parts.API, EXPORTING, with_children=True),
        parts.kill_part(parts.SCHEDULER, EVALUATING, with_children=False),
        parts.lock_database(("gate", 2, "start"), 10.0),
        parts.stop_supervisor("train", 1, ("train", 2, "start"), 5.0),
        parts.restart_airflow(("train", 2, "middle")),
        parts.reboot(("export", 2, "start")),
    )


def worker_acts() -> Sequence[Act]:
    """Return the deaths of Airflow's own processes of a task, while its child works."""
    return (
        parts.kill_task("train", 0, TRAINING, "training's task", 0),
        parts.kill_task("export", 0, EXPORTING, "task", 0),
        parts.kill_task("evaluate", 0, EVALUATING, "task's supervisor", 1),
    )


def disk_campaigns() -> Sequence[Campaign]:
    """Return the campaign of a disk, where one can be mounted."""
    if reason := disk.why_not():
        log.warning("Left out: disks: %s", reason)
        return ()
    acts = (
        disk.fill(WRITING, "round.write_tfrecords"),
        disk.lock(TRAINING, "round.train"),
        disk.fill(EXPORTING, "round.export"),
        disk.clear_failed("round.export"),
        disk.lock(MATCHING, "round.match_labels"),
    )
    return (Campaign(name="disks", faults=[disk.no_memory()], acts=acts),)


def bucket_acts(faulty: FaultyBucket) -> Sequence[Act]:
    """Return what a bucket does to a run."""
    strikes = [
        bucket.strikes(faulty, moment, what, kind, **options)
        for moment, what, kind, options in STRIKES
    ]
    return (bucket.take_lease(TRAINING), *strikes, bucket.away(faulty, MATCHING, 20.0))


def other_clock(folder: Path, stack: ExitStack) -> Setting:
    """A clock that is set."""
    if reason := clock.why_not():
        return Setting(reason=reason)
    folder.mkdir(parents=True)
    stage = Stage(folder, environment=clock.environment(folder))
    acts = [clock.step(folder, TRAINING, 15.0)]
    return Setting(stage=stage, campaigns=[Campaign(name="clock", acts=acts)])


def other_database(folder: Path, stack: ExitStack) -> Setting:
    """A database that is restarted."""
    if reason := database.why_not():
        return Setting(reason=reason)
    server = stack.enter_context(database.postgres())
    stage = Stage(folder, environment=server.environment())
    acts = [database.restart(server, moment, 5.0) for moment in (TRAINING, EXPORTING)]
    return Setting(stage=stage, campaigns=[Campaign(name="postgres", acts=acts)])


STAGES: Sequence[Callable[[Path, ExitStack], Setting]] = (plain, other_clock, other_database)
