"""Airflow operators and triggers of Boxloop, imported as a package (see plugins/.airflowignore)."""
