"""Airflow on this machine: start it, follow a run, and leave nothing behind."""
