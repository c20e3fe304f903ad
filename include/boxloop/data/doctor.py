"""What is wrong with a data set, by kind: counted, exemplified, with what an import will do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from boxloop.data.findings import GRAVEST_FIRST, KINDS, NOTE, Finding, Findings
from boxloop.data.source import Source, deal_parts, problem_of
from boxloop.data.survey import survey_folder
from boxloop.settings import DataConfig

CLEAN, DIRTY, UNUSABLE = 0, 1, 2
"""Exit codes: nothing to repair, dirt that an import deals with, no detector can be trained."""
EXAMPLES = 3  # of a kind


@dataclass(frozen=True)
class Ailment:
    """All findings of one kind."""

    kind: str
    findings: Sequence[Finding]

    @property
    def gravity(self) -> str:
        """How grave it is, see findings.py."""
        return KINDS[self.kind].gravity

    @property
    def title(self) -> str:
        """What it is."""
        return KINDS[self.kind].title

    @property
    def action(self) -> str:
        """What an import does about it."""
        return KINDS[self.kind].action


@dataclass(frozen=True)
class Diagnosis:
    """What `boxloop doctor` says."""

    uri: str
    source: Source | None
    """None where nothing could be read."""
    ailments: Sequence[Ailment]
    """The gravest first, then the most frequent."""
    problem: str | None
    """Why the data cannot be used at all, and what to do."""
    image_uris: Mapping[str, str]
    """Path below the folder to URI, of every image in it, usable or not."""

    @property
    def status(self) -> int:
        """CLEAN, DIRTY or UNUSABLE."""
        if self.problem:
            return UNUSABLE
        return DIRTY if any(ailment.gravity != NOTE for ailment in self.ailments) else CLEAN


def diagnose(uri: str, config: DataConfig, *, seed: int = 1) -> Diagnosis:
    """Read a folder as an import would, write nothing, and say what is wrong with it.

    Args:
        uri: a local folder or gs://bucket/prefix.
        config: the settings an import would have.
        seed: of the dealing.
    """
    findings: Findings = []
    try:
        survey = survey_folder(uri, config, findings)
    except (ValueError, FileNotFoundError, PermissionError) as error:
        return Diagnosis(uri, None, by_kind(findings), str(error), {})
    source = deal_parts(survey, config, seed=seed)
    uris = {path: f"{survey.folder.uri}/{path}" for path in survey.paths}
    return Diagnosis(uri, source, by_kind(source.findings), problem_of(source), uris)


def to_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return a diagnosis for programs: every finding, and what an import keeps."""
    source = diagnosis.source
    return {
        "uri": diagnosis.uri,
        "status": diagnosis.status,
        "problem": diagnosis.problem,
        "images": 0 if source is None else len(source.dataset.images),
        "boxes": 0 if source is None else len(source.dataset.boxes) + len(source.truth),
        "kinds": [_kind_json(ailment) for ailment in diagnosis.ailments],
    }


def _kind_json(ailment: Ailment) -> dict[str, Any]:
    return {
        "kind": ailment.kind,
        "gravity": ailment.gravity,
        "title": ailment.title,
        "action": ailment.action,
        "count": len(ailment.findings),
        "findings": [{"path": found.path, "detail": found.detail} for found in ailment.findings],
    }


def by_kind(findings: Iterable[Finding]) -> list[Ailment]:
    """Return the findings of each kind, the gravest kinds first, then the most frequent."""
    by_kind: dict[str, list[Finding]] = {}
    for finding in findings:
        by_kind.setdefault(finding.kind, []).append(finding)
    ailments = [Ailment(kind, found) for kind, found in by_kind.items()]
    return sorted(
        ailments, key=lambda a: (GRAVEST_FIRST.index(a.gravity), -len(a.findings), a.kind)
    )
