"""The review page: a small web application below Airflow's own; see plugins/review_page.py."""
