import json

import pytest

from boxloop import hosts

ADDRESSES = ["a:1", "b:2", "c:3"]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without any other host."""
    for name in (hosts.HOSTS, hosts.TF_CONFIG, *hosts.INDEXES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(hosts.TF_CONFIG, "{}")  # so that what a test sets is undone
    monkeypatch.delenv(hosts.TF_CONFIG)


def be(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_alone_one_is_the_chief_and_tensorflow_is_told_nothing() -> None:
    hosts.join()
    assert (hosts.num_hosts(), hosts.is_chief()) == (1, True)
    import os

    assert hosts.TF_CONFIG not in os.environ


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_first_of_several_is_the_chief(monkeypatch: pytest.MonkeyPatch, index: int) -> None:
    be(monkeypatch, hosts.environment(ADDRESSES, index))
    hosts.join()
    assert (hosts.num_hosts(), hosts.is_chief()) == (3, index == 0)


def test_tensorflow_is_told_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    be(monkeypatch, hosts.environment(ADDRESSES, 2))
    hosts.join()
    assert json.loads(os.environ[hosts.TF_CONFIG]) == {
        "cluster": {"worker": ADDRESSES},
        "task": {"type": "worker", "index": 2},
    }


def test_kubernetes_numbers_its_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, hosts.environment(ADDRESSES) | {"JOB_COMPLETION_INDEX": "1"})
    hosts.join()
    assert (hosts.num_hosts(), hosts.is_chief()) == (3, False)


@pytest.mark.parametrize("index", ["", "3", "-1", "one"])
def test_who_does_not_know_its_number_fails(monkeypatch: pytest.MonkeyPatch, index: str) -> None:
    be(monkeypatch, {**hosts.environment(ADDRESSES), "BOXLOOP_HOST_INDEX": index})
    with pytest.raises(ValueError, match="BOXLOOP_HOST_INDEX must be the number of this host"):
        hosts.join()


@pytest.mark.parametrize(("task", "is_chief"), [("chief", True), ("worker", False)])
def test_vertex_names_the_chief(monkeypatch: pytest.MonkeyPatch, task: str, is_chief: bool) -> None:
    cluster = {"chief": ["a:1"], "worker": ["b:2"]}
    given = {"cluster": cluster, "task": {"type": task, "index": 0}, "environment": "cloud"}
    be(monkeypatch, {hosts.TF_CONFIG: json.dumps(given)})
    hosts.join()
    assert (hosts.num_hosts(), hosts.is_chief()) == (2, is_chief)


def test_what_tensorflow_cannot_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hosts.TF_CONFIG, "[1]")
    with pytest.raises(ValueError, match="TF_CONFIG must be a JSON object"):
        hosts.num_hosts()


def test_hosts_that_train_together_do_not_evaluate_meanwhile() -> None:
    from boxloop.train_settings import DeviceConfig, TrainConfig

    device = DeviceConfig(strategy="multi_worker")
    assert TrainConfig(device=device).device.strategy == "multi_worker"
    with pytest.raises(ValueError, match=r"evaluate_every does not go with .* multi_worker"):
        TrainConfig(device=device, evaluate_every=10)
