"""The step that trains a round: one writer at a time, and its result in a place apart."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from boxloop import collected, digests, hosts, lease, storage
from boxloop.artifacts import Run
from boxloop.checkpoint_keeper import keep_checkpoints
from boxloop.child import stop_on_sigterm
from boxloop.contents import WEIGHTS
from boxloop.experiment import read_experiment
from boxloop.ledger import Value, finished_value, task_value
from boxloop.train_settings import TrainConfig


def run_train(run: Run, round_number: int, once: Callable[[Callable[[], Value]], Value]) -> Value:
    """Train, unless that is done already, while holding the lease of the round's checkpoints.

    Of several hosts that train together the chief alone holds it, and writes.

    Args:
        run: the run.
        round_number: from 1.
        once: does work or returns what it returned before, as boxloop.ledger.run_once does.
    """
    hosts.join()
    if not hosts.is_chief():
        done = finished_value(run, round_number, "train")
        return train(run, round_number, None) if done is None else done
    with lease.hold(run.lease(round_number)) as held:
        return once(lambda: train(run, round_number, held))


def train(run: Run, round_number: int, held: lease.Held | None) -> Value:
    """Train the round's detector, from the weights that the settings name.

    Args:
        run: the run.
        round_number: from 1.
        held: the lease of the checkpoints; None: this host helps the chief, and keeps nothing.
    """
    from boxloop.data.dataset import read_dataset
    from boxloop.detector import train as trainer

    shards = task_value("write_tfrecords", run.uri, round_number)["shards"]
    counts = read_dataset(run.dataset(round_number)).class_counts
    experiment = read_experiment(run.experiment)
    uri, weights_uri = run.checkpoints(round_number), run.weights(round_number)
    before = _weights_before(run, round_number, experiment.train, list(counts))
    with (
        storage.local_files(shards["train"]) as train_shards,
        storage.local_files(shards["validation"]) as validation_shards,
        storage.local_folder(before or run.weights(0)) as previous,
        _folder_for(uri, held) as folder,
        _folder_for(weights_uri, held) as weights,
    ):
        # a second SIGTERM must not end the upload that the first one has led to
        with stop_on_sigterm() as is_stopped, _keeper(folder, uri, held) as keep:
            value = trainer.train(
                experiment,
                trainer.Data(train_shards, validation_shards, list(counts), list(counts.values())),
                model_dir=folder,
                weights_dir=weights,
                previous_dir=None if before is None else previous,
                seed=experiment.seed * 1000 + round_number,
                is_stopped=is_stopped,
                on_checkpoint=keep,
                on_ready=None if held else lambda: _fetch_checkpoint(uri, folder),
            )
        if held is not None:
            digests.note_folder(weights, weights_uri)
            held.check()
            storage.upload_folder(weights, weights_uri, last="checkpoint")
    return value


@contextlib.contextmanager
def _folder_for(uri: str, held: lease.Held | None) -> Iterator[Path]:
    """Give a local folder whose content goes to a URI, or nowhere."""
    if held is not None:
        with storage.working_folder(uri) as folder:
            yield folder
    else:
        with tempfile.TemporaryDirectory(prefix="boxloop-") as name:
            yield Path(name)


def _keeper(
    folder: Path, uri: str, held: lease.Held | None
) -> AbstractContextManager[Callable[[], None]]:
    """Give what keeps each checkpoint; one that helps the chief keeps none."""
    if held is None:
        return contextlib.nullcontext(lambda: None)
    return keep_checkpoints(folder, uri, check=held.check)


def _fetch_checkpoint(uri: str, folder: Path) -> None:
    """Copy what the chief goes on from; it writes nothing before all hosts train."""
    with storage.local_folder(uri) as found:
        for pattern in ("checkpoint", "ckpt-*"):
            for path in found.glob(pattern):
                shutil.copy(path, folder)


def weights_digest(round_uri: str) -> str:
    """Return the digest of the weights of a finished round.

    Raises:
        FileNotFoundError: if there are none.
    """
    uris = storage.list_files(f"{round_uri}/weights")
    if not uris:
        raise FileNotFoundError(f"{round_uri}/weights has no weights: name a finished round")
    found = [[uri.removeprefix(round_uri), storage.digest(uri)] for uri in uris]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _weights_before(
    run: Run, round_number: int, config: TrainConfig, class_names: Sequence[str]
) -> str | None:
    """Return the folder of the weights that a round goes on from, None where there are none.

    Raises:
        ValueError: if the first round is to go on from weights that are not what the settings say.
    """
    if round_number > 1:
        check_weights(run, round_number - 1)
        return run.weights(round_number - 1)
    if config.continue_from is None:
        return None
    found = weights_digest(config.continue_from)
    if config.continue_digest not in (None, found):
        raise ValueError(
            f"train.continue_from: {config.continue_from} has weights {found}, not "
            f"{config.continue_digest}: they were changed since; name others or none"
        )
    known = storage.read_json(f"{config.continue_from}/model/bundle.json")["classes"]
    if known != list(class_names):
        raise ValueError(
            f"train.continue_from: {config.continue_from} knows the classes {', '.join(known)}, "
            f"the data have {', '.join(class_names)}: name weights of the same classes or none"
        )
    return f"{config.continue_from}/weights"


def check_weights(run: Run, round_number: int) -> None:
    """Check that the weights of a round are there, which the next one goes on from.

    Raises:
        ValueError: if they are not; says who removed them, if that is known.
    """
    uri = run.weights(round_number)
    if not storage.list_files(uri):
        why = collected.why_missing(run, round_number, WEIGHTS)
        raise ValueError(
            f"{uri}: {why}; round {round_number + 1} would begin with these weights. To do it "
            f"again, do all again: boxloop rollback {run.uri} --round 1"
        )


def discard_training(run_uri: str, round_number: int) -> None:
    """Forget a round's training, so that it begins anew; wait for a trainer that still runs."""
    run = Run(run_uri)
    with lease.hold(run.lease(round_number)):
        storage.delete(run.marker(round_number, "train"))
        storage.delete_folder(run.checkpoints(round_number))
        storage.delete_folder(run.weights(round_number))
