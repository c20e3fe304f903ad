"""Airflow operators and triggers of Boxloop, imported as a package (see plugins/.airflowignore)."""

from boxloop import storage
from boxloop_airflow import credentials

storage.use_key(credentials.find_key)
