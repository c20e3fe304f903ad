"""The step that trains a round: one writer at a time, and its result in a place apart."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence

from boxloop import lease, storage
from boxloop.artifacts import Run
from boxloop.experiment import read_experiment
from boxloop.ledger import Value, task_value
from boxloop.train_settings import TrainConfig

log = logging.getLogger(__name__)


def run_train(run: Run, round_number: int, once: Callable[[Callable[[], Value]], Value]) -> Value:
    """Train, unless that is done already, while holding the lease of the round's checkpoints.

    Args:
        run: the run.
        round_number: from 1.
        once: does work or returns what it returned before, as boxloop.ledger.run_once does.
    """
    with lease.hold(run.lease(round_number)) as held:
        return once(lambda: train(run, round_number, held))


def train(run: Run, round_number: int, held: lease.Held) -> Value:
    """Train the round's detector, from the weights that the settings name."""
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
        storage.working_folder(uri) as folder,
        storage.working_folder(weights_uri) as weights,
    ):

        def keep_checkpoint() -> None:
            held.check()
            storage.upload_folder(folder, uri, last="checkpoint")
            log.info("Checkpoint kept in %s", uri)

        value = trainer.train(
            experiment,
            trainer.Data(train_shards, validation_shards, list(counts), list(counts.values())),
            model_dir=folder,
            weights_dir=weights,
            previous_dir=None if before is None else previous,
            seed=experiment.seed * 1000 + round_number,
            on_checkpoint=keep_checkpoint,
        )
        held.check()
        storage.upload_folder(weights, weights_uri, last="checkpoint")
    return value


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


def discard_training(run_uri: str, round_number: int) -> None:
    """Forget a round's training, so that it begins anew; wait for a trainer that still runs."""
    run = Run(run_uri)
    with lease.hold(run.lease(round_number)):
        storage.delete(run.marker(round_number, "train"))
        storage.delete_folder(run.checkpoints(round_number))
        storage.delete_folder(run.weights(round_number))
