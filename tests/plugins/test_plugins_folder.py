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


def test_the_one_plugin_is_the_review_page_as_a_tab_of_each_run() -> None:
    output = subprocess.run(
        [sys.executable, "-c", VIEWS],
        env={**os.environ, "AIRFLOW__CORE__PLUGINS_FOLDER": str(PLUGINS)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    (plugin,) = json.loads(output.splitlines()[-1])
    (view,) = plugin["external_views"]
    assert (view["destination"], view["url_route"]) == ("dag_run", "review")
    assert view["href"] == "boxloop-review/dags/{DAG_ID}/runs/{RUN_ID}"
    assert [app["url_prefix"] for app in plugin["fastapi_apps"]] == ["/boxloop-review"]
