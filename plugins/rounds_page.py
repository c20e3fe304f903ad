"""The Rounds page: a tab of each DAG run, and one in the navigation with all experiments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from airflow.plugins_manager import AirflowPlugin

URL_PREFIX = "/boxloop-rounds"
"""Also in page/server.js."""
URL_ROUTE = "rounds"
"""Also in page/server.js."""
Message = MutableMapping[str, Any]


async def rounds(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer a request; imported when asked, since every Airflow process loads its plugins."""
    from boxloop_airflow.rounds_page.app import app

    await app(scope, receive, send)


class RoundsPagePlugin(AirflowPlugin):
    """The tabs, and the application that they show."""

    name = "boxloop_rounds"
    fastapi_apps = [{"app": rounds, "url_prefix": URL_PREFIX, "name": "Boxloop rounds"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Rounds",
            # relative: Airflow may live below a path
            "href": f"{URL_PREFIX.lstrip('/')}/dags/{{DAG_ID}}/runs/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": URL_ROUTE,
        },
        {
            "name": "Experiments",
            "href": f"{URL_PREFIX.lstrip('/')}/experiments",
            "destination": "nav",
            "url_route": "experiments",
            "nav_top_level": True,  # not below "Plugins"
        },
    ]
