"""A night: take in what is new, and say what its rounds are to begin with.

What was taken in is recorded once, in a file of its own for each night, after all that it names.
The rounds of a night begin with the newest version of the library, the boxes that the champion's
run adopted, and the champion's weights.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from boxloop import champion, moved, storage
from boxloop.artifacts import Library, Run
from boxloop.experiment import read_experiment, read_settings
from boxloop.nightly_beginning import begin, first_version
from boxloop.nightly_settings import NightlyConfig, flat
from boxloop.setting_checks import check
from boxloop.settings import Experiment

if TYPE_CHECKING:
    from boxloop.inbox import Stamps

log = logging.getLogger(__name__)

Value = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Night:
    """One night: its settings, and where everything of it lies."""

    config: NightlyConfig
    root: str
    experiment_id: str

    @property
    def library(self) -> Library:
        """Where the images are."""
        return Library.of(self.root, self.config.name)

    @property
    def inbox(self) -> str:
        """Where new images and boxes arrive."""
        default = f"{self.root}/inbox/{self.config.name}"
        return storage.absolute(self.config.inbox or os.environ.get("BOXLOOP_INBOX") or default)

    @property
    def champion(self) -> Value | None:
        """The record of the champion as it is now."""
        return champion.current(self.root, self.config.name)

    @property
    def experiment(self) -> Experiment:
        """What is trained, before it is told what to begin with."""
        return read_experiment(self.config.experiment, self.settings)

    @property
    def settings(self) -> Value:
        """What is laid over the experiment file, whatever has been taken in."""
        return {**flat(self.config.settings), "oracle.by": self.config.oracle}

    @property
    def began(self) -> Value | None:
        """What this night began from, None if it has no record, or one that does not tell.

        `champion`: the number of the champion's record, 0 for none; `settings`: of the experiment;
        `anew`: why without the champion's weights, None where with them.
        """
        mine = (one for one in self.records() if one["experiment_id"] == self.experiment_id)
        return next((one.get("began") for one in mine), None)

    def records(self) -> list[Value]:
        """Return what earlier nights left, the oldest first."""
        uris = storage.list_files(self.library.nights)
        records = (storage.read_json(uri) for uri in uris if uri.endswith(".json"))
        return [moved.value_here(record, self.library.uri) for record in records]


def read_night(
    config_uri: str,
    *,
    root: str,
    experiment_id: str,
    overrides: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Night:
    """Read the settings of a night.

    Args:
        config_uri: the file.
        root: the artifact root, a folder or gs://bucket/prefix.
        experiment_id: name of the folder of the night's run.
        overrides: setting of the night to value, such as {"name": "cards"}; None changes nothing.
        settings: of the experiment, laid over those of the file; None changes nothing.

    Raises:
        ValueError: if a setting is unknown, of the wrong type or out of bounds.
        FileNotFoundError: if there is no such file.
    """
    config = read_settings(NightlyConfig, config_uri, overrides)
    given = {name: value for name, value in (settings or {}).items() if value is not None}
    config = dataclasses.replace(config, settings={**flat(config.settings), **given})
    night = Night(config, storage.absolute(root), experiment_id)
    _check_experiment(night.experiment)
    return night


def _check_experiment(experiment: Experiment) -> None:
    """Refuse what would make the rounds of every night fail."""
    start, hidden = experiment.train.start, experiment.oracle.hidden_share
    check(
        start == "previous_round",
        f"train.start is {start}: a night goes on from the champion; set it to previous_round",
    )
    check(
        hidden == 0,
        f"oracle.hidden_share is {hidden:g}: a night's boxes are all in use; set it to 0",
    )


def take_in(night: Night, *, always: bool = False) -> Value:
    """Take in what is new in the inbox, once for each experiment id.

    Args:
        night: its settings.
        always: let the rounds begin also where nothing is new.

    Returns:
        `goes_on`: whether there is something to train on; `reason`: why, in words; `overrides`:
        what the rounds are to begin with; `night`: the number of its record; `doctor_uri`;
        `taken` and `refused`, how many images.

    Raises:
        ValueError: if the inbox is over a limit, or a setting is wrong.
    """
    records = night.records()
    mine = next((one for one in records if one["experiment_id"] == night.experiment_id), None)
    if mine is None:
        mine = _look(night, records, always=always)
    log.info("%s", mine["reason"])
    counts = {name: mine.get(name) for name in ("goes_on", "reason", "doctor_uri")}
    counts |= {name: mine.get(name, 0) for name in ("number", "taken", "refused")}
    overrides = {}
    if mine["goes_on"]:
        began = mine.get("began") or begin(night, mine["version"])
        overrides = {**night.settings, **began["settings"]}
    return {**counts, "experiment": night.config.experiment, "overrides": overrides}


def undo(night: Night, number: int) -> Value:
    """Go back to the library as an earlier night left it; what was taken since is not taken again.

    Args:
        night: whose `experiment_id` names who does it.
        number: of the night whose library is to be the present one.

    Raises:
        ValueError: if there is no such night.
    """
    from boxloop.nightly_intake import forget_undone

    records = night.records()
    found = next((one for one in records if one["number"] == number), None)
    if found is None:
        there = f"there are 1 to {records[-1]['number']}" if records else "there is none yet"
        raise ValueError(f"{night.library.uri} has no night {number}: {there}")
    reason = f"The library is again as night {number} left it."
    same = {name: records[-1][name] for name in ("inbox", "listing")}
    same["intake"] = forget_undone(night, records, number)
    return _record(night, records, goes_on=False, reason=reason, version=found["version"], **same)


def _look(night: Night, records: list[Value], *, always: bool) -> Value:
    """Look into the inbox; return the night's record, which is not written where nothing is new."""
    from boxloop.inbox import listing_digest
    from boxloop.intake_limits import check_amount

    last = records[-1] if records else None
    stamps = storage.list_stamps(night.inbox)
    if not stamps:
        log.warning("The inbox %s is empty, or is not there", night.inbox)
    listing = listing_digest(stamps, _settings_of_reading(night))
    is_due = always or last is None or _is_untried(night, records)
    if last is not None and not is_due and listing == last["listing"]:
        return {"goes_on": False, "reason": f"Nothing new in {night.inbox}."}
    seen = storage.read_json(night.library.intake(last["intake"])) if last else {}
    if last is None or listing != last["listing"]:
        check_amount(stamps, seen.get("files", {}), night.config.intake)
        return _take(night, records, seen, stamps, is_due=is_due)
    kept = {name: last[name] for name in ("inbox", "listing", "intake", "version")}
    reason = "Nothing new, but what the library holds has not been trained on yet."
    return _record(night, records, goes_on=True, reason=reason, **kept)


def _take(
    night: Night, records: list[Value], seen: Value, stamps: Stamps, *, is_due: bool
) -> Value:
    """Read the inbox, take in what may be taken, and write it down."""
    from boxloop.inbox import digest_of, listing_digest
    from boxloop.library import add_items, check_classes, read_version, write_version
    from boxloop.nightly_intake import examine

    version = (
        read_version(night.library, records[-1]["version"]) if records else first_version(night)
    )
    found = examine(night, version.dataset, seen, stamps)
    grown = add_items(night.library, version, found.taken) if found.taken else version
    check_classes(version, grown)
    changes = bool(found.taken) or not records
    digest = write_version(night.library, grown) if changes else records[-1]["version"]
    intake = digest_of(found.report)[:16]
    storage.write_json(night.library.intake(intake), found.report)
    is_new = not records or digest != records[-1]["version"]
    return _record(
        night,
        records,
        goes_on=is_due or is_new,
        reason=found.text if is_new or not is_due else f"{found.text} {_DUE}",
        version=digest,
        inbox=night.inbox,
        listing=listing_digest(stamps, _settings_of_reading(night)),
        intake=intake,
        doctor_uri=found.doctor_uri,
        taken=len(found.taken),
        refused=found.num_refused,
    )


_DUE = "The library has not been trained on yet."


def _record(night: Night, records: list[Value], **said: Any) -> Value:
    """Write the next record.

    Raises:
        RuntimeError: if another night was faster.
    """
    number = records[-1]["number"] + 1 if records else 1
    record = {"number": number, "experiment_id": night.experiment_id, **said}
    if said["goes_on"]:
        record["began"] = began = begin(night, said["version"])
        record["reason"] += f" {began['anew']}" if began["anew"] else ""
    record["at"] = datetime.now(UTC).isoformat(timespec="seconds")
    data = (json.dumps(record, indent=2, sort_keys=True) + "\n").encode()
    if not storage.swap_bytes(night.library.night(number), None, data):
        raise RuntimeError(
            f"night {number} of {night.library.uri} was written meanwhile: try again"
        )
    return record


def _is_untried(night: Night, records: list[Value]) -> bool:
    """Whether the newest version of the library has led to no decision about a champion yet."""
    for record in reversed(records):
        if record["version"] != records[-1]["version"]:
            break
        if storage.exists(Run.of(night.root, record["experiment_id"]).decision):
            return False
    return records[-1]["goes_on"] is True


def _settings_of_reading(night: Night) -> list[Any]:
    data = night.experiment.data
    reading = [data.annotations, data.label_pattern, data.rename, data.min_box]
    return [dataclasses.asdict(night.config.intake), *reading, data.near_duplicates]
