"""What to do about each kind of failure, and the page of docs/ that says more. Pure."""

from __future__ import annotations

from typing import NamedTuple

MISSING, SETTING, DISK, PERMISSION, MEMORY = "missing", "setting", "disk", "permission", "memory"
SIGNAL, LOSS, BUCKET, STALE, LEASE = "signal", "loss", "bucket", "stale", "lease"
BEFORE, UNKNOWN = "before", "unknown"


class Advice(NamedTuple):
    """What to do about a kind of failure, and the page of docs/ that says more."""

    text: str
    page: str


ADVICE = {
    MISSING: Advice(
        "Put the file or folder in place, or name another one; a relative path starts where "
        "Airflow or `boxloop` was started. Then try again.",
        "your-data.md",
    ),
    SETTING: Advice(
        "Change the setting or the input that the message names. `boxloop doctor FOLDER` checks "
        "data before a run. Then trigger anew with another experiment id, or clear the task.",
        "your-data.md",
    ),
    DISK: Advice(
        "Make room: the disk, or somebody's quota, is full. Old runs below the artifact root take "
        "most. Then clear the task; what is finished stays.",
        "operator.md",
    ),
    PERMISSION: Advice(
        "Give the user whom Airflow's tasks run as the right to read, or write, what the message "
        "names. Then clear the task.",
        "operator.md",
    ),
    MEMORY: Advice(
        "It ran out of memory: lower train.batch_size (the form's Batch size) or "
        "model.input_size, take a smaller model, or a machine with more.",
        "training.md",
    ),
    SIGNAL: Advice(
        "Its process was ended from outside. Signal 9 is most often the machine being out of "
        "memory (`dmesg` says so): close other programs, or lower train.batch_size. Else somebody "
        "stopped it: clear the task, and training goes on from its newest checkpoint.",
        "operator.md",
    ),
    LOSS: Advice(
        "Training ran away: lower train.learning_rate (the form's Learning rate) or raise "
        "train.warmup_steps; `boxloop doctor FOLDER` finds boxes without area. Then trigger anew "
        "with another experiment id.",
        "training.md",
    ),
    BUCKET: Advice(
        "The bucket or a server does not answer, or does not know you: check its name, the "
        "network, and the credentials of Airflow's tasks (GOOGLE_APPLICATION_CREDENTIALS, or the "
        "machine's service account). Then clear the task.",
        "operator.md",
    ),
    STALE: Advice(
        "An earlier round was done anew, or is not there: clear all tasks of the rounds that the "
        "message names, together with `report`, or undo them: boxloop rollback RUN --round N.",
        "architecture.md",
    ),
    LEASE: Advice(
        "Another process has this round. If it is meant to, wait for it; else end it, and clear "
        "the task: its lease is free a minute after it has ended.",
        "operator.md",
    ),
    BEFORE: Advice(
        "Mend the round that the message names and clear its failed tasks; this one follows.",
        "operator.md",
    ),
    UNKNOWN: Advice(
        "Nothing is known of this kind of failure: the lines above are all there is. If another "
        "attempt does not help, report it with them.",
        "operator.md",
    ),
}
