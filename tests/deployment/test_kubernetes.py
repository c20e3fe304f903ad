"""Values and pod template for Kubernetes, read by the models of Kubernetes' own client."""

from __future__ import annotations

import json
import os
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client
from tests.deployment import compose, dockerfile
from tests.deployment.compose import PROJECT

from boxloop_airflow.placement import GPU_POD, GPU_TASKS

FOLDER = PROJECT / "docker" / "kubernetes"
VALUES = yaml.safe_load((FOLDER / "values.yaml").read_text())
POD = yaml.safe_load((FOLDER / "gpu-pod.yaml").read_text())
CHART = yaml.safe_load((Path(__file__).parent / "chart.yaml").read_text())
"""Names of values of the chart, by the part that they stand in; `top` has those in none."""
PARTS = ("apiServer", "scheduler", "dagProcessor", "triggerer", "workers")


def read(text: Any, model: str) -> Any:
    """Return an object as Kubernetes' client reads and writes it: what it does not know is gone."""
    api = client.ApiClient()
    return api.sanitize_for_serialization(
        api.deserialize(json.dumps(text), model, "application/json")
    )


def settings() -> dict[str, str]:
    """Return the variables that the config map gives to every pod."""
    return dict(yaml.safe_load(VALUES["extraConfigMaps"]["boxloop-settings"]["data"]))


def test_the_model_of_kubernetes_reads_all_of_the_gpu_pod() -> None:
    assert read(POD, "V1Pod") == POD


def test_a_misspelt_field_would_be_seen() -> None:
    broken = {**POD, "spec": {**POD["spec"], "toleration": []}}
    assert read(broken, "V1Pod") != broken


def test_the_gpu_pod_runs_on_preemptible_machines_with_a_gpu() -> None:
    spec = POD["spec"]
    (container,) = spec["containers"]
    assert container["name"] == "base"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert spec["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
    assert {each["key"] for each in spec["tolerations"]} == {
        "nvidia.com/gpu",
        "cloud.google.com/gke-spot",
    }
    assert spec["restartPolicy"] == "Never"


def test_the_gpu_pod_has_the_settings_the_account_and_the_rights_of_the_other_pods() -> None:
    spec = POD["spec"]
    (container,) = spec["containers"]
    assert container["envFrom"][0]["configMapRef"]["name"] in VALUES["extraConfigMaps"]
    assert spec["serviceAccountName"] == VALUES["workers"]["serviceAccount"]["name"]
    assert spec["securityContext"] == VALUES["securityContexts"]["pod"]
    assert container["securityContext"] == VALUES["securityContexts"]["containers"]
    (config,) = [each for each in spec["volumes"] if each["name"] == "config"]
    assert config["configMap"]["name"] == f"{VALUES['fullnameOverride']}-config"
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounts["config"] == f"{VALUES['airflowHome']}/airflow.cfg"


def paths(value: Any, path: str = "") -> list[str]:
    """Return the names of values, each after those above it, as `a.b`."""
    if not isinstance(value, dict):
        return [path.removeprefix(".")]
    return [each for name, below in value.items() for each in paths(below, f"{path}.{name}")]


def unknown(values: dict[str, Any]) -> list[str]:
    """Return the names of values that the chart does not have."""
    known = [n if part == "top" else f"{part}.{n}" for part in CHART for n in CHART[part]]
    return [path for path in paths(values) if not any(fnmatch(path, name) for name in known)]


def test_values_are_values_of_the_chart() -> None:
    assert unknown(VALUES) == []
    assert unknown({"scheduler": {"liveness": 1}, "redis": {"on": 1}}) == [
        "scheduler.liveness",
        "redis.on",
    ]


def test_the_chart_that_is_installed_is_the_one_whose_names_are_known() -> None:
    texts = [(PROJECT / "docs" / "deployment.md"), FOLDER / "values.yaml"]
    told = [re.findall(r"--version (\S+)", path.read_text()) for path in texts]
    known = re.findall(r"version (\d\S+)\)", (Path(__file__).parent / "chart.yaml").read_text())
    assert told == [known, known]
    assert len(known) == 1


def test_what_the_pods_of_the_chart_call_is_in_the_image_or_off() -> None:
    found = dockerfile.stages(PROJECT / "docker" / "airflow.Dockerfile")
    for image in ("team", "gpu"):
        copied = [text for stage in dockerfile.lineage(image, found) for text in stage.all("COPY")]
        assert "docker/entrypoint.sh /entrypoint" in copied  # what every probe calls
    for part in ("scheduler", "dagProcessor", "triggerer"):
        assert VALUES[part]["logGroomerSidecar"] == {"enabled": False}  # calls /clean-logs


def test_the_entry_point_runs_what_it_is_given() -> None:
    command = [str(PROJECT / "docker" / "entrypoint.sh"), "printf", "%s,", "a b", "c"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "a b,c,"


def test_the_api_server_believes_the_ingress_that_people_come_by_https() -> None:
    (variable,) = VALUES["apiServer"]["env"]
    assert read(variable, "V1EnvVar") == variable
    assert variable["name"] == "FORWARDED_ALLOW_IPS"
    assert VALUES["apiServer"]["args"][-1] == "exec airflow api-server --proxy-headers"


@pytest.mark.parametrize("part", PARTS)
def test_the_model_of_kubernetes_reads_the_resources_of_a_part(part: str) -> None:
    found = VALUES[part]["resources"]
    assert read(found, "V1ResourceRequirements") == found
    assert set(found) == {"requests", "limits"}


def test_the_model_of_kubernetes_reads_the_rights_of_pods() -> None:
    for name, model in (("pod", "V1PodSecurityContext"), ("containers", "V1SecurityContext")):
        found = VALUES["securityContexts"][name]
        assert read(found, model) == found


def test_the_config_map_and_where_it_goes_are_read_too() -> None:
    found = {"data": settings(), "metadata": {"name": "boxloop-settings"}}
    assert read(found, "V1ConfigMap") == found
    (source,) = yaml.safe_load(VALUES["extraEnvFrom"])
    assert read(source, "V1EnvFromSource") == source


def test_settings_are_those_of_boxloop() -> None:
    known = set(re.findall(r"^  (BOXLOOP_\w+):", compose.COMPOSE.read_text(), re.M)) | {GPU_POD}
    assert set(settings()) <= known
    assert all(isinstance(value, str) for value in settings().values())
    assert settings()[GPU_TASKS] == "train"
    template = settings()[GPU_POD].removeprefix("/app/")
    assert (PROJECT / template).samefile(FOLDER / "gpu-pod.yaml")


def test_accounts_act_as_one_of_google_and_no_key_is_in_the_cluster() -> None:
    for part in ("workers", "apiServer", "triggerer"):
        (key,) = VALUES[part]["serviceAccount"]["annotations"]
        assert key == "iam.gke.io/gcp-service-account"
    text = (FOLDER / "values.yaml").read_text() + (FOLDER / "gpu-pod.yaml").read_text()
    assert "GOOGLE_APPLICATION_CREDENTIALS" not in text


def test_no_password_is_among_the_values() -> None:
    def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
        if isinstance(value, dict):
            return [leaf for name, each in value.items() for leaf in leaves(each, f"{path}.{name}")]
        return [(path, value)]

    for path, value in leaves(VALUES):
        if re.search("pass|secret|fernet|jwt", path, re.IGNORECASE):
            assert path.endswith("SecretName"), path
            assert value in ("boxloop-database", "boxloop-keys")


def test_images_are_those_that_compose_builds() -> None:
    version = compose.read()["services"]["scheduler"]["image"].rpartition(":")[2]
    assert VALUES["defaultAirflowTag"] == version
    assert POD["spec"]["containers"][0]["image"].endswith(f"airflow-gpu:{version}")


RENDER = """
import json, sys
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from kubernetes.client import ApiClient
base = PodGenerator.deserialize_model_file(sys.argv[1])
pod = PodGenerator.construct_pod(
    dag_id="d", task_id="round.train", pod_id="p", try_number=1, kube_image=None, date=None,
    args=["airflow", "run"], pod_override_object=None, base_worker_pod=base, namespace="boxloop",
    scheduler_job_id="1", run_id="r", map_index=0,
)
print(json.dumps(ApiClient().sanitize_for_serialization(pod)))
"""
"""What KubernetesExecutor does with a template, where values.yaml leaves out its own image."""


@pytest.mark.deployment
def test_airflow_makes_a_pod_from_the_template_that_keeps_what_it_says() -> None:
    python = Path(os.environ["BOXLOOP_IMAGE_VENV"]) / "bin" / "python"
    command = [str(python), "-c", RENDER, str(FOLDER / "gpu-pod.yaml")]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    rendered = json.loads(said.splitlines()[-1])
    assert read(rendered, "V1Pod") == rendered
    (container,), (ours,) = rendered["spec"]["containers"], POD["spec"]["containers"]
    assert container["image"] == ours["image"]
    assert container["args"] == ["airflow", "run"]
    assert container["resources"] == ours["resources"]
    for name in ("nodeSelector", "tolerations", "serviceAccountName", "volumes"):
        assert rendered["spec"][name] == POD["spec"][name]
