import builtins
import json
import re
from typing import Any

import pytest
from tests.documents import DOCUMENTS

from boxloop_airflow.launchers import Status, build_options, make_launcher, stamped
from boxloop_airflow.launchers.docker import DockerOptions
from boxloop_airflow.launchers.kubernetes import KubernetesOptions
from boxloop_airflow.launchers.local import LocalLauncher
from boxloop_airflow.launchers.vertex import VertexOptions


def test_without_a_word_training_runs_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOXLOOP_LAUNCHER", raising=False)
    assert isinstance(make_launcher(), LocalLauncher)


def test_the_environment_chooses_and_arguments_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXLOOP_LAUNCHER", "moon")
    with pytest.raises(ValueError, match="one of local, docker, kubernetes, vertex, got 'moon'"):
        make_launcher()
    assert isinstance(make_launcher("local"), LocalLauncher)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{gpus: 1}", "must be a JSON object"),
        ("[1]", r"must be a JSON object .*, and is none"),
        ('{"gpu": 1}', "launcher docker has no option 'gpu'; it has image, gpus"),
        ("{}", "launcher docker needs option 'image'"),
        ('{"image": "i", "gpus": "all"}', "docker: option 'gpus' must be a whole number"),
        ('{"image": "i", "gpus": true}', "option 'gpus' must be a whole number, and is none"),
        ('{"image": "i", "memory": 16}', "option 'memory' must be text, and is none"),
        ('{"image": "i", "mounts": ["/a"]}', "'mounts' must be an object of text, and is none"),
        ('{"image": "i", "environment": {"A": 1}}', "'environment' must be an object of text"),
    ],
)
def test_wrong_options_are_named(text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXLOOP_LAUNCHER_OPTIONS", text)
    with pytest.raises(ValueError, match=message):
        make_launcher("docker")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"secrets": "boxloop-keys"}, "option 'secrets' must be a list of text"),
        ({"tolerations": ["spot"]}, "option 'tolerations' must be a list"),
        ({"timeout_seconds": 1.5}, "option 'timeout_seconds' must be a whole number"),
    ],
)
def test_lists_and_what_may_be_left_out_are_checked_too(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build_options(KubernetesOptions, {"image": "i", **options}, "kubernetes")


def test_a_value_of_a_wrong_type_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="environment") as caught:
        make_launcher("docker", {"image": "i", "environment": ["TOKEN=hush"]})
    assert "hush" not in str(caught.value)


def test_an_option_may_be_null_where_it_may_be_left_out() -> None:
    options = {"image": "i", "context": None, "timeout_seconds": 60, "secrets": ["a"]}
    assert build_options(KubernetesOptions, options, "kubernetes").timeout_seconds == 60


EXAMPLE = re.compile(r"BOXLOOP_LAUNCHER=(\w+)\s+(?:export )?BOXLOOP_LAUNCHER_OPTIONS='(.+?)'", re.S)


def test_every_example_in_the_documents_is_one_of_its_launcher() -> None:
    kinds = {"docker": DockerOptions, "kubernetes": KubernetesOptions, "vertex": VertexOptions}
    texts = [path.read_text() for path in DOCUMENTS]
    examples = [found for text in texts for found in EXAMPLE.findall(text)]
    assert len(examples) == sum(text.count("BOXLOOP_LAUNCHER_OPTIONS='") for text in texts) == 4
    for name, text in examples:
        build_options(kinds[name], json.loads(text), name)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import_module = builtins.__import__

    def without_docker(name: str, *arguments: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "docker":
            raise ImportError("No module named 'docker'")
        return import_module(name, *arguments, **options)

    monkeypatch.delitem(__import__("sys").modules, "boxloop_airflow.launchers.docker", False)
    monkeypatch.setattr(builtins, "__import__", without_docker)
    with pytest.raises(ValueError, match=r"pip install 'boxloop\[docker\]'"):
        make_launcher("docker", {"image": "trainer"})


@pytest.mark.parametrize(
    ("status", "is_hopeless"),
    [
        (Status("failed", 2), True),
        (Status("failed", 137, "out of memory"), True),
        (Status("failed", 137), False),
        (Status("failed", 143), False),
        (Status("gone"), False),
    ],
)
def test_what_another_attempt_would_meet_again(status: Status, is_hopeless: bool) -> None:
    assert status.is_hopeless == is_hopeless


def test_times_are_compared_as_times() -> None:
    stamps = [
        "2026-11-22T18:00:00Z",
        "2026-11-22T18:00:00.5Z",
        "2026-11-22T18:00:00.51Z",
        "2026-11-22T18:00:00.510000001Z",
        "2026-11-22T18:00:01Z",
    ]
    assert sorted(stamps, key=stamped.nanoseconds) == stamps
    assert stamped.seconds(stamps[3]) == 1795370400  # date -d 2026-11-22T18:00:00Z +%s


def test_lines_are_whole_however_the_stream_is_cut() -> None:
    text = "première\nsecond\r\n\nlast".encode()
    for size in range(1, 8):
        chunks = [text[i : i + size] for i in range(0, len(text), size)]
        assert list(stamped.whole_lines(chunks)) == ["première", "second", "", "last"]


def log_of(*seconds: int) -> list[str]:
    return [f"2026-11-22T18:00:{second:02d}.5Z line {second}" for second in seconds]


def follow(readings: list[Any], states: list[Status], offset: str | None = None) -> list[str]:
    lines: list[str] = []

    def read(offset: str | None) -> list[str]:
        reading = readings.pop(0)
        if isinstance(reading, Exception):
            raise reading
        return list(reading)

    stamped.follow(
        read,
        lambda: states.pop(0),
        offset,
        lambda line, after: lines.append(line),
        errors=(ConnectionError,),
        poll_seconds=0,
    )
    return lines


RUNS, DONE = Status("running"), Status("succeeded", 0)


def test_a_log_that_is_read_again_is_told_once() -> None:
    lines = follow([log_of(1, 2), log_of(1, 2, 3), log_of(3, 4)], [RUNS, RUNS, DONE])
    assert lines == ["line 1", "line 2", "line 3", "line 4"]


def test_a_log_goes_on_after_the_offset() -> None:
    assert follow([log_of(1, 2, 3)], [DONE], offset="2026-11-22T18:00:02.5Z") == ["line 3"]


def test_a_service_that_is_away_for_a_while_is_asked_again() -> None:
    readings = [log_of(1), ConnectionError("reset"), log_of(2)]
    assert follow(readings, [RUNS, RUNS, DONE]) == ["line 1", "line 2"]


def test_a_service_that_stays_away_ends_the_wait() -> None:
    with pytest.raises(ConnectionError, match="reset"):
        follow([ConnectionError("reset")] * 20, [RUNS] * 20)


def test_what_keeps_a_job_from_starting_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    waits = Status("running", reason="Unschedulable: no GPU")
    follow([[], [], []], [waits, waits, DONE])
    assert [record.message for record in caplog.records] == ["Unschedulable: no GPU"]
