"""Who may see the review page, and who may decide. Airflow's own rules, asked for each request.

Airflow does not guard an application of a plugin: each route here names what it demands.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, Request, status

MAY_READ = Depends(requires_access_dag("GET", DagAccessEntity.RUN))
"""Logged in, and allowed to see the runs of the DAG in the path; else 401 or 403."""
MAY_DECIDE = Depends(requires_access_dag("PUT", DagAccessEntity.HITL_DETAIL))
"""Logged in, and allowed to answer the waiting tasks of the DAG in the path."""


def may_decide(user: Any, dag_id: str) -> bool:
    """Say whether a user would pass MAY_DECIDE."""
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    return bool(
        get_auth_manager().is_authorized_dag(
            method="PUT", access_entity=DagAccessEntity.HITL_DETAIL, details=details, user=user
        )
    )


def check_sender(request: Request) -> None:
    """Refuse what a page of another site made the browser send (CSRF).

    Browsers say where a request comes from, and ask before they send JSON elsewhere.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, "decisions are sent as JSON")
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is not None:  # plain HTTP, or an old browser
        is_ours = urlsplit(origin).netloc == request.headers.get("host")
    else:
        is_ours = site in (None, "same-origin")  # None: no browser
    if not is_ours:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "decisions come from the review page only")


FROM_THIS_SITE = Depends(check_sender)
