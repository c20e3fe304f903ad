"""The review page as a tab of each DAG run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.plugins_manager import AirflowPlugin

URL_PREFIX = "/boxloop-review"
"""Also in page/server.js."""
URL_ROUTE = "review"
"""Also in `boxloop_airflow.match_labels.review_link`."""
Message = MutableMapping[str, Any]


async def review(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer a request; imported when asked, since every Airflow process loads its plugins."""
    from boxloop_airflow.review.app import app

    await app(scope, receive, send)


class ReviewPagePlugin(AirflowPlugin):
    """The tab, and the application that it shows."""

    name = "boxloop_review"
    fastapi_apps = [{"app": review, "url_prefix": URL_PREFIX, "name": "Boxloop review"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Review",
            # relative: Airflow may live below a path
            "href": f"{URL_PREFIX.lstrip('/')}/dags/{{DAG_ID}}/runs/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": URL_ROUTE,
        }
    ]
