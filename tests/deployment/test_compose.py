"""What docker-compose.yaml says, held against what it promises; no service runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.deployment import compose, dockerfile
from tests.deployment.compose import PROJECT, Service

from boxloop import heartbeat
from boxloop.gcs import client

ONE = ("one",)
TEAM = ("local", "gpu")
LOCAL = compose.env_file(PROJECT / "docker" / "local.env")
ALL = {**compose.services({}, ONE), **compose.services({}, TEAM)}
EACH = pytest.mark.parametrize("service", ALL.values(), ids=list(ALL))
COMPOSE_TEXT = compose.COMPOSE.read_text()
KEYS = {
    *(
        "build",
        "cap_drop",
        "command",
        "depends_on",
        "deploy",
        "environment",
        "healthcheck",
        "image",
    ),
    *("logging", "network_mode", "networks", "ports", "profiles", "restart", "secrets", "shm_size"),
    *("security_opt", "stop_grace_period", "user", "volumes"),
}
"""Of a service, as far as they are used: a misspelt one would be refused by Docker Compose."""
PARTS = {
    *("api-server", "scheduler", "dag-processor", "triggerer", "worker-cpu", "worker-gpu", "init"),
    *("postgres", "redis", "gcs", "tensorboard", "boxloop"),
}


def test_every_part_is_there() -> None:
    assert set(ALL) == PARTS


def test_a_team_starts_without_gpu_and_emulator_and_without_the_container_for_one() -> None:
    assert set(compose.services({}, ())) == PARTS - {"worker-gpu", "gcs", "boxloop"}


@EACH
def test_a_service_has_only_keys_that_there_are(service: Service) -> None:
    assert set(service.text) <= KEYS


@EACH
def test_an_image_has_a_version(service: Service) -> None:
    assert re.fullmatch(r"[a-z0-9/-]+:\d+\.\d+[\w.-]*", service.text["image"])


@EACH
def test_a_service_is_not_root_and_can_get_no_further_rights(service: Service) -> None:
    user, _, group = service.text["user"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert service.text["cap_drop"] == ["ALL"]
    assert service.text["security_opt"] == ["no-new-privileges:true"]


@EACH
def test_a_service_has_a_health_check_and_limits(service: Service) -> None:
    ends = service.text["restart"] == "no" and service.name == "init"
    assert bool(service.check) != ends
    limits = service.text["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0
    assert re.fullmatch(r"\d+[MG]", limits["memory"])


@EACH
def test_networks_volumes_and_secrets_are_declared(service: Service) -> None:
    whole = compose.read()
    assert set(service.text.get("networks", [])) <= set(whole["networks"])
    assert set(service.text.get("secrets", [])) <= set(whole["secrets"])
    assert {each.partition(":")[0] for each in service.text.get("volumes", [])} <= set(
        whole["volumes"]
    )


@EACH
def test_a_service_names_the_secrets_that_it_reads_and_no_other(service: Service) -> None:
    words = [*service.environment.values(), *service.text.get("command", []), *service.check]
    read = {name for word in words for name in re.findall(r"/run/secrets/(\w+)", str(word))}
    assert read == set(service.text.get("secrets", [])) - {"google_key"}


@EACH
def test_no_variable_holds_a_password(service: Service) -> None:
    for name, value in service.environment.items():
        if re.search("PASSWORD|SECRET|KEY|CONN$|BROKER_URL|BACKEND", name):
            assert name.endswith(("_CMD", "_FILE")), f"{name}={value}"
        assert not re.search(r"://\w*:\w+@", value), f"{name}={value}"


@EACH
def test_whoever_waits_waits_for_a_service_that_is_there(service: Service) -> None:
    assert set(service.waits_for) <= set(ALL)


def test_ports_are_open_to_this_machine_alone() -> None:
    ports = [port for each in ALL.values() for port in each.text.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_workers_reach_neither_the_database_nor_its_password() -> None:
    for name in ("worker-cpu", "worker-gpu", "tensorboard"):
        assert "database" not in ALL[name].text["networks"]
        assert "postgres_password" not in ALL[name].text["secrets"]


def test_the_gpu_worker_alone_has_gpus_and_takes_the_queue_gpu() -> None:
    with_gpus = {n for n, s in ALL.items() if "reservations" in s.text["deploy"]["resources"]}
    assert with_gpus == {"worker-gpu"}
    queues = {n: _after(s.command, "--queues") for n, s in ALL.items() if "celery" in _command(s)}
    assert queues == {"worker-cpu": "default", "worker-gpu": "gpu"}


def test_whoever_waits_for_a_gpu_has_a_worker_for_it() -> None:
    assert ALL["worker-cpu"].environment["BOXLOOP_GPU_TASKS"] == ""
    gpu = compose.env_file(PROJECT / "docker" / "gpu.env")
    assert compose.services(gpu, TEAM)["worker-cpu"].environment["BOXLOOP_GPU_TASKS"] == "train"


def test_a_machine_of_two_cores_can_start_every_service() -> None:
    cores = {
        name: float(s.text["deploy"]["resources"]["limits"]["cpus"]) for name, s in ALL.items()
    }
    assert cores.pop("worker-gpu") <= 4  # a machine with a GPU has as many
    assert max(cores.values()) <= 2


def test_what_an_env_file_shows_as_the_default_is_the_default() -> None:
    text = (PROJECT / "docker" / "gcs.env").read_text().partition("# Below:")[0]
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]+)\}", COMPOSE_TEXT))
    for name, shown in re.findall(r"^#(\w+)=(.+)", text, re.M):
        if name not in ("BOXLOOP_GOOGLE_KEY", "GOOGLE_APPLICATION_CREDENTIALS"):  # as examples
            assert shown == defaults[name], name


def test_an_empty_setting_is_the_default_that_env_file_and_values_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("BOXLOOP_GCS_PATIENCE", "BOXLOOP_GCS_TIMEOUT", "BOXLOOP_ORPHAN_SECONDS")
    for name in names:
        monkeypatch.setenv(name, "")
    asked = client.options()
    seconds = (asked["retry"].timeout, asked["timeout"], heartbeat.environment("u")[names[2]])
    for file, form in (("gcs.env", "#{}={:g}\n"), ("kubernetes/values.yaml", '{}: "{:g}"\n')):
        text = (PROJECT / "docker" / file).read_text()
        assert all(form.format(n, float(s)) in text for n, s in zip(names, seconds, strict=True))


def test_settings_of_an_env_file_reach_the_tasks_and_the_web_server() -> None:
    told = compose.services({"BOXLOOP_GCS_PATIENCE": "9", "BOXLOOP_ORPHAN_SECONDS": "90"}, TEAM)
    for name in ("worker-cpu", "worker-gpu", "api-server", "scheduler"):
        assert told[name].environment["BOXLOOP_GCS_PATIENCE"] == "9"
        assert told[name].environment["BOXLOOP_ORPHAN_SECONDS"] == "90"


def test_the_api_server_believes_the_proxy_that_people_come_by_https() -> None:
    server = ALL["api-server"]
    assert "--proxy-headers" in server.command
    assert server.environment["FORWARDED_ALLOW_IPS"] == "*"  # the proxy comes by Docker's gateway


def test_tensorboard_is_told_nothing_but_the_root_and_how_to_read_it() -> None:
    everything = dict.fromkeys(re.findall(r"^  ([A-Z_]+):$", COMPOSE_TEXT, re.M), "x")
    told = compose.services(everything, ())["tensorboard"].environment
    assert set(told) == {
        "BOXLOOP_ROOT",
        "STORAGE_EMULATOR_HOST",
        "GOOGLE_APPLICATION_CREDENTIALS",
    }


def test_the_commented_volumes_can_be_used_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "compose.yaml"
    text = re.sub(r"# (- /path/to/\S+)  .*", r"\1", COMPOSE_TEXT)
    path.write_text(text)
    team, one = compose.services({}, TEAM, path), compose.services({}, ONE, path)
    for service in (one["boxloop"], team["worker-cpu"], team["api-server"]):
        assert "/path/to/your/images:/data:ro" in service.text["volumes"]


def test_the_emulator_is_used_with_its_profile_alone() -> None:
    assert "STORAGE_EMULATOR_HOST" not in ALL["worker-cpu"].environment
    local = compose.services(LOCAL, TEAM)["worker-cpu"].environment
    assert local["STORAGE_EMULATOR_HOST"] == "http://gcs:9023"
    assert local["BOXLOOP_ROOT"] == "gs://boxloop/runs"


@pytest.mark.parametrize("name", ["local.env", "gpu.env", "gcs.env"])
def test_an_env_file_sets_what_the_compose_file_reads(name: str) -> None:
    text = compose.COMPOSE.read_text()
    lines = (PROJECT / "docker" / name).read_text().splitlines()
    told = {found[1] for line in lines if (found := re.match(r"#?([A-Z_]+)=", line))}
    read = set(re.findall(r"(?<!\$)\$\{(\w+)", text)) | set(
        re.findall(r"^  ([A-Z_]+):$", text, re.M)
    )
    assert told <= read
    if name == "gcs.env":
        others = {"BOXLOOP_GPU_TASKS", "BOXLOOP_GPUS", "BOXLOOP_GPU_CPUS", "BOXLOOP_GPU_MEMORY"}
        assert told == read - others - {"STORAGE_EMULATOR_HOST"}


def test_folders_that_volumes_are_mounted_on_belong_to_the_user() -> None:
    made = dockerfile.stages(PROJECT / "docker" / "airflow.Dockerfile")["base"].all("RUN")
    emulator = dockerfile.stages(PROJECT / "docker" / "emulator.Dockerfile")["base"].all("RUN")
    for service in ALL.values():
        for volume in service.text.get("volumes", []):
            folder = volume.split(":")[1]
            if folder.startswith("/app"):
                assert any(folder in text.split() for text in made + emulator), volume


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A:-b}", "b"),
        ("${SET:-b}", "x"),
        ("${EMPTY:-b}", "b"),
        ("${EMPTY-b}", ""),
        ("${SET:+b}", "b"),
        ("$SET/$$SET", "x/$SET"),
        ("$$(cat f)", "$(cat f)"),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, expected: str) -> None:
    assert compose.fill(text, {"SET": "x", "EMPTY": ""}) == expected


def test_a_variable_that_must_be_set_is_missed() -> None:
    with pytest.raises(ValueError, match="NEEDED: say it"):
        compose.fill("${NEEDED:?say it}", {})


def test_env_files_and_profiles_that_the_page_exports_are_there() -> None:
    page = (PROJECT / "docs" / "deployment.md").read_text()
    lines = re.findall(r"^    export (.+)", page, re.M)
    told = [dict(word.split("=") for word in line.split()) for line in lines]
    files = [each["COMPOSE_ENV_FILES"].split(",") for each in told]
    assert all((PROJECT / file).is_file() for each in files for file in each)
    profiles = {each["COMPOSE_PROFILES"] for each in told if "COMPOSE_PROFILES" in each}
    assert profiles == {"gpu"}
    assert not re.search(r"--env-file docker/g.*--detach", page)  # the next command would lack it


def _command(service: Service) -> list[str]:
    return service.command if "command" in service.text else []


def _after(words: list[Any], word: str) -> Any:
    return words[words.index(word) + 1]
