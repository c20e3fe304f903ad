"""What the Dockerfiles say; no image is built."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path, PurePath

import pytest
from tests.deployment import compose, dockerfile
from tests.deployment.compose import PROJECT
from tests.deployment.dockerfile import Stage

FILES = sorted((PROJECT / "docker").glob("*.Dockerfile"))
FINAL = {
    "airflow.Dockerfile": ("one", "team", "gpu"),
    "emulator.Dockerfile": ("emulator",),
    "trainer.Dockerfile": ("trainer",),
}
IMAGES = [(path, name) for path in FILES for name in FINAL[path.name]]
EACH_IMAGE = pytest.mark.parametrize(("path", "name"), IMAGES, ids=[name for _, name in IMAGES])
EACH_FILE = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
TOOLS = ("uv", "pip", "gcc", "build-essential", "curl", "git")
RESULTS = ("tensorflow", "tf-models-official", "tf-keras", "numpy", "pillow", "pyarrow", "pandas")
"""Packages whose versions decide what comes out of a run."""


@EACH_FILE
def test_every_stage_starts_from_a_pinned_image_or_a_stage_before(path: Path) -> None:
    found = dockerfile.stages(path)
    for number, stage in enumerate(found.values()):
        is_known = stage.base in list(found)[:number]
        assert is_known or re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", stage.base), stage


@EACH_FILE
def test_every_file_that_is_copied_is_there(path: Path) -> None:
    found = dockerfile.stages(path)
    for stage in found.values():
        for text in stage.all("COPY"):
            words = [word for word in text.split() if not word.startswith("--")]
            source = next((w for w in text.split() if w.startswith("--from=")), "")
            if source:
                assert source.removeprefix("--from=") in found
            else:
                assert all((PROJECT / word).exists() for word in words[:-1]), text


@EACH_FILE
def test_every_stage_is_used(path: Path) -> None:
    found = dockerfile.stages(path)
    texts = [text for stage in found.values() for text in stage.all("COPY")]
    used = {match for text in texts for match in re.findall(r"--from=(\S+)", text)}
    used |= {stage.base for stage in found.values()} | set(FINAL[path.name])
    assert set(found) <= used


@EACH_IMAGE
def test_an_image_runs_as_a_user_that_is_not_root(path: Path, name: str) -> None:
    stages = dockerfile.lineage(name, dockerfile.stages(path))
    users = [text for stage in stages for text in stage.all("USER")]
    assert users[-1] == "10001:10001"
    assert any("useradd --uid 10001" in text for text in stages[0].all("RUN"))


@EACH_IMAGE
def test_an_image_holds_no_tool_that_builds(path: Path, name: str) -> None:
    stages = dockerfile.lineage(name, dockerfile.stages(path))
    words = [w for stage in stages for text in stage.all("RUN") for w in text.split()]
    assert not set(words) & set(TOOLS)


@EACH_IMAGE
def test_an_image_starts_a_program_that_it_has(path: Path, name: str) -> None:
    stages = dockerfile.lineage(name, dockerfile.stages(path))
    for instruction in ("ENTRYPOINT", "CMD"):
        for text in [text for stage in stages for text in stage.all(instruction)]:
            program = re.findall(r'"([^"]+)"', text)[0]
            assert program in ("tini", "boxloop", "airflow", "python")
            if program == "tini":
                assert any("tini" in run.split() for run in stages[0].all("RUN"))


def test_secrets_and_what_was_built_here_stay_out_of_images() -> None:
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    assert {"docker/secrets", ".venv", ".venv-deployment", ".git", ".boxloop"} <= set(ignored)


OURS = ("docker/gcs.env", "docker/gpu.env", "docker/local.env", "docker/no-key.json")


def test_neither_env_files_nor_keys_get_into_images_or_into_git() -> None:
    images = (PROJECT / ".dockerignore").read_text().splitlines()
    git = (PROJECT / ".gitignore").read_text().splitlines()
    for name in (".env", "edge.env", "docker/x/prod.env", "key.json", "docker/my-key-2.json"):
        assert _is_ignored(name, images), name
        assert _is_ignored(name, git), name
    for name in OURS:  # no image needs them, and people write their own addresses into them
        assert (PROJECT / name).is_file()
        assert _is_ignored(name, images), name
        assert not _is_ignored(name, git), name


def _is_ignored(path: str, lines: list[str]) -> bool:
    """Whether the last line that fits a file ignores it, as git and Docker do."""
    fits = [
        line for line in lines if PurePath(path).match(line.removeprefix("!").removeprefix("**/"))
    ]
    return bool(fits) and not fits[-1].startswith("!")


def test_every_image_of_the_stack_that_is_ours_has_its_target() -> None:
    for service in compose.read()["services"].values():
        if service["image"].startswith("boxloop"):
            found = dockerfile.stages(PROJECT / service["build"]["dockerfile"])
            assert service["build"].get("target", list(found)[-1]) in found


def test_the_environment_of_the_team_is_the_one_that_is_tested() -> None:
    stage = dockerfile.stages(PROJECT / "docker" / "airflow.Dockerfile")["packages-team"]
    assert stage.all("RUN")[0].endswith("-r docker/airflow.txt")
    assert "-r docker/airflow.txt" in (PROJECT / "Makefile").read_text()


def test_versions_that_decide_results_are_those_of_one_machine() -> None:
    ours, images = _pins("requirements.txt"), _pins("docker/airflow.txt")
    assert {name: images[name] for name in RESULTS} == {name: ours[name] for name in RESULTS}
    assert images["apache-airflow-core"] == ours["apache-airflow-core"]


def test_cuda_is_pinned_and_brings_nothing_else() -> None:
    pins = _pins("docker/cuda.txt")
    assert "nvidia-cudnn-cu12" in pins
    assert all(name.startswith("nvidia-") for name in pins)


def test_a_stage_knows_what_it_is_built_on(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text('FROM a:1 AS x\nENV A=1 \\\n    B="2 3"\n# no\nFROM x AS y\nENV A=4\nUSER 1\n')
    found = dockerfile.stages(path)
    assert found["y"] == Stage("y", "x", [("ENV", "A=4"), ("USER", "1")])
    assert dockerfile.environment("y", found) == {"A": "4", "B": "2 3"}


@pytest.mark.parametrize("name", ["docker/init.sh", "docker/secrets.sh"])
def test_a_script_is_one_of_a_plain_shell(name: str) -> None:
    subprocess.run(["/bin/sh", "-n", PROJECT / name], check=True)


def _pins(name: str) -> dict[str, str]:
    lines = (PROJECT / name).read_text().splitlines()
    return dict(re.findall(r"^([\w.-]+)==([^;\s]+)", "\n".join(lines), re.MULTILINE))
