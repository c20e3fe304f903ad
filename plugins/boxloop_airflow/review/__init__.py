"""The review page: a small web application below Airflow's own."""

URL_PREFIX = "/boxloop-review"
URL_ROUTE = "review"
"""Of the tab of a run, as `boxloop_airflow.match_labels.review_link` has it."""
