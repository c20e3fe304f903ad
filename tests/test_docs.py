"""Every command, setting, link and message in README.md and docs/ is one that there is."""

import ast
import contextlib
import dataclasses
import io
import re
import shlex
import shutil
import subprocess
import sys
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.documents import DOCUMENTS, PROJECT, Command, commands, headings, links
from tests.rounds import plan, right_detections, run_round

from boxloop import cli, steps, storage
from boxloop.cli import main
from boxloop.experiment import read_experiment
from boxloop.settings import Experiment

ALL = [command for path in DOCUMENTS for command in commands(path)]
NOT_HERE = {
    "docker": "needs a Docker daemon",
    "gcloud": "needs Google Cloud's command line and an account",
    "labelImg": "needs a screen, and an environment of its own",
    "curl": "needs the network",
    "git": "needs the project's own repository on a server",
    "pip": "changes the environment",
    "uv": "changes the environment",
    "export": "sets a variable",
    "rm": "is tried by tests/test_docs.py with a folder of its own",
    "cat": "is run by tests/e2e/test_first_hour.py",
    "cp": "is run by tests/e2e/test_first_hour.py",
}
"""Programs whose commands are not even parsed, and why."""
HEAVY = {
    "run": "trains: tests/test_local_run.py and tests/e2e/test_first_hour.py",
    "demo": "starts Airflow: tests/e2e/test_first_hour.py",
    "airflow": "starts Airflow: tests/e2e/",
    "step": "loads TensorFlow: tests/test_steps.py",
    "train": "loads TensorFlow: tests/detector/test_show.py",
    "zoo measure": "trains: tests/detector/test_every_model.py",
    "detect": "needs an exported model: tests/test_detect_cli.py, tests/e2e/test_first_hour.py",
    "champion": "needs runs of nightly_retraining: its own tests",
    "tensorboard": "stays up until Ctrl-C: its own tests",
    "gc": "needs finished runs: tests/test_upkeep.py",
    "verify": "needs finished runs: tests/test_backup.py, tests/test_verification.py",
    "moved": "needs things that have moved: tests/test_backup.py",
    "nightly": "trains: its own tests, and tests/e2e/test_nightly.py",
}
"""Commands of boxloop that are parsed here, and run elsewhere."""
NAMES = {
    "RUN": ".boxloop/experiments/trial",
    "FOLDER": "photos",
    "N": "2",
    "IMAGE": "scene_00030.jpg",
    "/data/mine": "photos",
    ".boxloop/experiments/rehearsal": ".boxloop/experiments/trial",
    ".boxloop/experiments/first": ".boxloop/experiments/trial",
}
"""What stands for something in a document, and what it is here."""
WRITTEN = {"out": "voc", "cvat": "cvat", "studio": "label_studio", "to-review": "voc"}
"""Folders that a document imports from, and the format that they were exported in."""


def of(program: str) -> list[Any]:
    return [pytest.param(c, id=c.place) for c in ALL if c.words and c.words[0] == program]


@pytest.mark.parametrize("command", [pytest.param(c, id=c.place) for c in ALL])
def test_every_program_is_one_that_is_checked(command: Command) -> None:
    checked = {"boxloop", "make", "python", "airflow", "tensorboard"}
    assert command.words[0] in checked | set(NOT_HERE)


def arguments(command: Command) -> list[str]:
    """Return the arguments of a command of boxloop's, names replaced by what they are here."""
    text = re.split(r" \| | > ", command.text.removeprefix(".venv/bin/").splitlines()[0])[0]
    words = shlex.split(text.removesuffix(" ..."))[1:]
    for name, value in NAMES.items():
        words = [re.sub(rf"(?<![\w/.-]){re.escape(name)}(?![\w.])", value, word) for word in words]
    return words


def complaint(words: list[str]) -> str:
    """Return what the parser says against arguments, nothing where all is well."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.build_parser().parse_args(words)
        except SystemExit as end:
            return said.getvalue() if end.code else ""
    return ""


@pytest.mark.parametrize("command", of("boxloop"))
def test_every_command_of_boxloop_can_be_parsed(command: Command) -> None:
    problem = complaint(arguments(command))
    if command.is_inline:  # `boxloop review status`, in a sentence
        problem = "" if re.search("are required:|expected one argument", problem) else problem
    assert not problem


def test_a_command_that_is_none_is_found() -> None:
    for words in (["doctr", "photos"], ["run", "x.yaml", "--stepps", "5"], ["zoo", "meassure"]):
        assert complaint(words)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("command", of("make"))
def test_every_target_of_make_is_there(command: Command) -> None:
    assert set(command.words[1:]) <= targets() | {"..."}


def test_the_makefile_says_what_each_target_is_for() -> None:
    comment = re.match(r"(#.*\n)+", (PROJECT / "Makefile").read_text())
    assert comment
    told = set(re.findall(r"^# make ([a-z-]+)", comment[0], re.MULTILINE))
    assert told <= targets()
    assert targets() - told <= {"lint", "setup", "lock"}  # parts of others


@cache
def options_of(script: str) -> str:
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else (PROJECT / script).read_text()


@pytest.mark.parametrize("command", of("python"))
def test_every_script_is_there_and_knows_its_options(command: Command) -> None:
    script, *rest = command.words[1:]
    if script == "-c" or script.endswith("detect.py"):
        return  # of a bundle: tests/detector/test_bundle_elsewhere.py
    if script == "-m":
        script, *rest = f"{rest[0].replace('.', '/')}.py", *rest[1:]
    path = PROJECT / script
    assert path.is_file()
    for option in (word for word in rest if word.startswith("--")):
        assert f'"{option}"' in path.read_text()


@pytest.mark.parametrize("command", of("airflow"))
def test_every_command_of_airflow_can_be_parsed(command: Command) -> None:
    from airflow.cli import cli_parser

    if command.words[1] in ("standalone",) or "task_id" in command.text:
        return
    words = shlex.split(command.text.removeprefix(".venv/bin/"))[1:]
    options = cli_parser.get_parser().parse_args(words)  # ends the test where it cannot
    assert callable(options.func)


# --- running what takes seconds


class _StopError(Exception):
    """Ends a round where it asks people."""


def _stop() -> None:
    raise _StopError


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with drawn photos, and a run of which one round is done and one asks people."""
    folder = tmp_path_factory.mktemp("sandbox")
    run = plan(folder / ".boxloop", "trial", **{"oracle.by": "both"})
    steps.run_task("parse_annotations", run.uri, 1)
    run_round(run, 1, right_detections(run, 20))
    figures = steps.task_value("evaluate", run.uri, 1)
    storage.write_json(run.evaluation(1), {**figures, "images": 8, "split": "test"})
    with pytest.raises(_StopError):
        run_round(run, 2, right_detections(run, 4), people=_stop)
    data = yaml.safe_load(Path(run.experiment).read_text())["data"]
    (folder / "photos").symlink_to(data["uri"])
    return folder


@pytest.fixture
def sandbox(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the folder in which somebody types; imports find what was exported."""
    folder = tmp_path / "sandbox"
    shutil.copytree(prepared, folder, symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BOXLOOP_ROOT", str(folder / ".boxloop"))
    monkeypatch.setenv("LOGNAME", "anna")
    return folder


def runs_here(command: Command) -> bool:
    words = arguments(command)
    name = next((heavy for heavy in HEAVY if words[: heavy.count(" ") + 1] == heavy.split()), None)
    is_far = any("gs://" in word for word in words)
    return name is None and not is_far and not complaint(words) and "--help" not in words


QUICK = [p for p in of("boxloop") if runs_here(p.values[0])]


@pytest.mark.parametrize("command", QUICK)
def test_every_quick_command_does_what_it_says(
    command: Command, sandbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = arguments(command)
    if "--yes" not in words and words[0] == "rollback":
        words.append("--yes")  # nobody is there to be asked
    if words[:2] == ["review", "import"]:
        run, folder = words[2:4]
        form = WRITTEN[folder]
        assert main(["review", "export", run, "--to", folder, "--format", form]) == 0
    assert main(words) == 0, capsys.readouterr().err


def test_most_commands_are_really_run() -> None:
    run = {p.values[0].words[1] for p in QUICK}
    assert run == {
        *("data", "doctor", "history", "import", "report", "review", "rollback", "split", "zoo")
    }


def test_every_heavy_command_is_one() -> None:
    for name in set(HEAVY) - {"champion", "nightly", "tensorboard"}:
        assert complaint([*name.split(), "--help"]) == ""


# --- settings, links, messages


def setting_names(kind: type = Experiment, before: str = "") -> Iterator[str]:
    """Give the dotted names of all settings, groups and what follows from them included."""
    for name, value in vars(kind).items():
        if isinstance(value, property):
            yield f"{before}{name}"
    for name, hint in typing.get_type_hints(kind).items():
        yield f"{before}{name}"
        for each in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(each):
                yield from setting_names(typing.cast(type, each), f"{before}{name}.")


GROUPS = "data|train|model|oracle|review|stop|predict"
SETTING = re.compile(rf"(?<![\w/.])((?:{GROUPS})\.[a-z_][\w.]*?[a-z0-9_])(?![\w/(-])(?!\.\w)")
FILES = ("yaml", "html", "xml", "csv", "json", "parquet", "py", "md", "png", "js")


def named_settings(path: Path) -> set[str]:
    found = set(SETTING.findall(path.read_text()))
    return {name for name in found if not name.endswith(tuple(f".{end}" for end in FILES))}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_setting_is_one(path: Path) -> None:
    known = set(setting_names())
    free = "model.overrides."  # whatever Model Garden has
    unknown = {n for n in named_settings(path) if n not in known and not n.startswith(free)}
    assert unknown == set()


def test_settings_are_found(tmp_path: Path) -> None:
    assert {"oracle.by", "train.balance_classes"} <= named_settings(PROJECT / "docs/oracle.md")
    path = tmp_path / "wrong.md"
    path.write_text("set `train.stepps` in mine.yaml, see plugins/train.py and `data.html`")
    assert named_settings(path) == {"train.stepps"}
    assert {"train.augment.mosaic", "data.drawn.pool"} <= set(setting_names())


def test_an_experiment_in_a_document_can_be_read(tmp_path: Path) -> None:
    heredocs = [c for c in ALL if c.text.startswith("cat > mine.yaml")]
    assert heredocs
    for command in heredocs:
        path = tmp_path / "mine.yaml"
        path.write_text("\n".join(command.text.splitlines()[1:-1]))
        assert read_experiment(str(path)).rounds >= 1


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_and_picture_leads_somewhere(path: Path) -> None:
    for link in links(path):
        target, _, anchor = link.partition("#")
        found = (path.parent / target).resolve() if target else path
        assert found.exists(), f"{path.name}: {link}"
        if anchor:
            assert anchor in headings(found), f"{path.name}: {link}"


def test_every_document_is_in_the_index() -> None:
    index = PROJECT / "docs" / "README.md"
    listed = {link.partition("#")[0] for link in links(index)}
    assert {path.name for path in DOCUMENTS[1:]} - {"README.md"} <= listed


def test_pictures_are_of_modest_size() -> None:
    for path in (PROJECT / "docs" / "images").glob("*.png"):
        assert path.stat().st_size <= 300_000, path.name


@cache
def texts() -> str:
    """Return every text in the code, a mark for whatever is put into it; and the Makefile."""
    found = [(PROJECT / "Makefile").read_text().replace("$(PYTHON)", "…").replace("%d.%d", "…")]
    for folder in ("include", "plugins", "dags"):
        for path in (PROJECT / folder).rglob("*.py"):
            found += [_text(node) for node in ast.walk(ast.parse(path.read_text()))]
    return "\n".join(re.sub("…+", "…", text) for text in found if text)


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        parts = (_text(v) if isinstance(v, ast.Constant) else "…" for v in node.values)
        return "".join(parts)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{[^{}]*\}|%[sd]", "…", node.value)
    return ""


MESSAGES = re.findall(r"^\*\*`([^`]+)`\*\*", (PROJECT / "docs" / "faq.md").read_text(), re.M)


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_of_the_faq_is_still_in_the_code(message: str) -> None:
    for part in re.split(r"^… |; …$|, …$|: …$|^…; |^…: | …$", message):
        assert part in texts()


def test_the_faq_has_messages() -> None:
    assert len(MESSAGES) > 30
    assert "the candidate pool is full" not in texts()
