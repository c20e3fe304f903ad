"""Settings that must stand before Airflow is first imported."""

import os
import tempfile

os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="boxloop-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
