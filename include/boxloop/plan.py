"""The first step of a run: settings checked, data in place, one spec a round."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boxloop import pretrained, storage
from boxloop.artifacts import Run
from boxloop.borders import check_experiment_id, is_below
from boxloop.experiment import CHANGEABLE, changed_yaml, experiment_yaml, read_experiment
from boxloop.ledger import finished_rounds
from boxloop.rollback import check_rolled_back
from boxloop.settings import Experiment
from boxloop.training import weights_digest


def plan_rounds(
    experiment_uri: str, *, root: str, experiment_id: str, overrides: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Check the settings, prepare the run's folder, and return one spec per round.

    A run that is there already may be given more rounds and other rules to stop by.

    Args:
        experiment_uri: the experiment file.
        root: the artifact root, a folder or gs://bucket/prefix.
        experiment_id: name of the run's folder below it.
        overrides: dotted setting to value, laid over the file; None changes nothing.

    Raises:
        ValueError: if a setting or the id is wrong, the run exists with other settings, or has
            finished more rounds than are asked for.
        FileNotFoundError: if there is no experiment file, no data folder, or no weights to go on
            from.
    """
    check_experiment_id(experiment_id)
    root = storage.absolute(root)
    run = Run.of(root, experiment_id)
    experiment = read_experiment(experiment_uri, overrides)
    pretrained.check(experiment.model, experiment.train.start)
    model = pretrained.with_absolute_paths(experiment.model)
    experiment = locate_data(dataclasses.replace(experiment, model=model), root)
    experiment = _locate_start(experiment, root)
    storage.write_bytes(run.experiment, _settings(run, experiment))
    return [{"run_uri": run.uri, "round_number": n} for n in range(1, experiment.rounds + 1)]


def _settings(run: Run, experiment: Experiment) -> bytes:
    """Return the run's settings, those of a run that is there already changed where they may be."""
    if not storage.exists(run.experiment):
        return experiment_yaml(experiment)
    check_rolled_back(run)
    if (done := finished_rounds(run)) > experiment.rounds:
        raise ValueError(
            f"{run.uri} has {done} finished rounds, more than rounds: {experiment.rounds}; ask for "
            f"{done} or more, or undo some: boxloop rollback {run.uri} --round "
            f"{experiment.rounds + 1}"
        )
    data = storage.read_bytes(run.experiment)
    try:
        return changed_yaml(data, experiment, place=run.experiment)
    except ValueError as error:
        raise ValueError(
            f"{run.uri} holds a run with other settings: {error}; choose another experiment id "
            f"(only {' and '.join(CHANGEABLE)} may change)"
        ) from error


def locate_data(experiment: Experiment, root: str) -> Experiment:
    """Return the experiment with an absolute data location, its demo data drawn if it has any.

    Args:
        experiment: with any data location.
        root: the artifact root, where demo data go that have no place of their own.

    Raises:
        FileNotFoundError: if there is no data folder, or no earlier dataset version.
        ValueError: if a location is no path or gs:// address, or demo data are to be drawn where
            other data are.
    """
    data = experiment.data
    if data.version is not None:
        version = _locate_version(data.version, "data.version")
        uri = version if data.uri is None else _absolute(data.uri, "data.uri")
        data = dataclasses.replace(data, uri=uri, version=version, drawn=None)
        return dataclasses.replace(experiment, data=data)
    demo = f"{root.rstrip('/')}/data/demo_seed_{experiment.seed}"
    uri = _absolute(data.uri or demo, "data.uri")
    if data.drawn is not None:
        _draw(uri, experiment.seed, dataclasses.asdict(data.drawn))
    if not storage.is_remote(uri) and not Path(uri).is_dir():
        raise FileNotFoundError(
            f"data.uri: folder {uri} does not exist; name one with images/ and annotations/"
        )
    previous = _locate_version(data.previous, "data.previous")
    located = dataclasses.replace(data, uri=uri, previous=previous)
    return dataclasses.replace(experiment, data=located)


def _locate_start(experiment: Experiment, root: str) -> Experiment:
    """Return the experiment with the absolute place of what its first round goes on from.

    Raises:
        FileNotFoundError: if there is no such finished round.
        ValueError: if it is of another artifact root, and no digest says which weights are meant.
    """
    train = experiment.train
    if train.continue_from is None:
        return experiment
    uri = _absolute(train.continue_from, "train.continue_from")
    if not storage.exists(f"{uri}/model/bundle.json"):
        raise FileNotFoundError(
            f"train.continue_from: {uri} has no model/bundle.json: name the folder of a finished "
            "round, such as <run>/round_03"
        )
    if train.continue_digest is None and not is_below(uri, f"{root}/experiments"):
        raise ValueError(
            f"train.continue_from: {uri} is not below {root}/experiments. If you trust it, set "
            f"train.continue_digest to {weights_digest(uri)}"
        )
    return dataclasses.replace(experiment, train=dataclasses.replace(train, continue_from=uri))


def _locate_version(uri: str | None, setting: str) -> str | None:
    """Return the absolute location of an earlier dataset version."""
    if uri is None:
        return None
    uri = _absolute(uri, setting)
    if not storage.exists(f"{uri}/images.parquet"):
        raise FileNotFoundError(
            f"{setting}: {uri} has no images.parquet: name the folder of a dataset version"
        )
    return uri


def _absolute(uri: str, setting: str) -> str:
    """Return a setting's location as `storage.absolute` does; a refusal names the setting."""
    try:
        return storage.absolute(uri)
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from None


def _draw(uri: str, seed: int, counts: dict[str, int]) -> None:
    from boxloop.data.demo import draw_demo

    mark = f"{uri}/demo.json"
    if not storage.exists(mark) and storage.list_files(uri):
        raise ValueError(
            f"data.uri: {uri} holds data of its own, and this experiment draws the demo data set "
            "there: choose one that draws nothing, such as playing_cards, or another location"
        )
    if not storage.exists(mark):  # what is drawn until this process is killed is ours too
        storage.write_json(mark, {})
    with storage.working_folder(uri) as folder:
        draw_demo(folder, seed=seed, **counts)
        storage.upload_folder(folder, uri, last="demo.json")
