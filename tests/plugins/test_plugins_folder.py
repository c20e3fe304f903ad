import json
import os
import subprocess
import sys
from pathlib import Path

PLUGINS = Path(__file__).parents[2] / "plugins"
LOAD = """
import sys
from airflow.plugins_manager import get_import_errors, get_plugin_info
get_plugin_info()
files = __import__("pathlib").Path(sys.argv[1]).glob("boxloop_airflow/**/*.py")
loaded = {getattr(module, "__file__", None) for module in sys.modules.values()}
print([path.stem for path in files if str(path) in loaded], get_import_errors())
"""

VIEWS = """
import json
from airflow.plugins_manager import get_plugin_info
found = [p for p in get_plugin_info() if p["name"].startswith("boxloop")]
print(json.dumps(found, default=str))
"""


def test_airflow_does_not_load_the_files_of_the_package_as_plugins() -> None:
    output = subprocess.run(
        [sys.executable, "-c", LOAD, str(PLUGINS)],
        env={**os.environ, "AIRFLOW__CORE__PLUGINS_FOLDER": str(PLUGINS)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    assert output.splitlines()[-1] == "[] {}"


def test_the_pages_are_tabs_of_each_run_and_one_lists_all_experiments() -> None:
    output = subprocess.run(
        [sys.executable, "-c", VIEWS],
        env={**os.environ, "AIRFLOW__CORE__PLUGINS_FOLDER": str(PLUGINS)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    plugins = {plugin["name"]: plugin for plugin in json.loads(output.splitlines()[-1])}
    views = {
        (view["destination"], view["url_route"], view["href"])
        for plugin in plugins.values()
        for view in plugin["external_views"]
    }
    assert views == {
        ("dag_run", "review", "boxloop-review/dags/{DAG_ID}/runs/{RUN_ID}"),
        ("dag_run", "rounds", "boxloop-rounds/dags/{DAG_ID}/runs/{RUN_ID}"),
        ("nav", "experiments", "boxloop-rounds/experiments"),
    }
    prefixes = [app["url_prefix"] for each in plugins.values() for app in each["fastapi_apps"]]
    assert sorted(prefixes) == ["/boxloop-review", "/boxloop-rounds"]
