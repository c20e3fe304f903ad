"""The Rounds page: a small web application below Airflow's own; see plugins/rounds_page.py."""
