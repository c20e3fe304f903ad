"""Who may see a page, and who may act on it. Airflow's own rules, asked for each request.

Airflow does not guard an application of a plugin: each route here names what it demands.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, Request, status

MAY_READ = Depends(requires_access_dag("GET", DagAccessEntity.RUN))
"""Logged in, and allowed to see the runs of the DAG in the path; else 401 or 403."""
MAY_SEE_TASKS = Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE))
"""Logged in, and allowed to see the task instances of the DAG in the path."""
MAY_DECIDE = Depends(requires_access_dag("PUT", DagAccessEntity.HITL_DETAIL))
"""Logged in, and allowed to answer the waiting tasks of the DAG in the path."""
MAY_RERUN = Depends(requires_access_dag("PUT", DagAccessEntity.TASK_INSTANCE))
"""Logged in, and allowed to clear the tasks of the DAG in the path."""


def may_read(user: Any, dag_id: str) -> bool:
    """Say whether a user would pass MAY_READ."""
    return _may(user, dag_id, "GET", DagAccessEntity.RUN)


def may_see_tasks(user: Any, dag_id: str) -> bool:
    """Say whether a user would pass MAY_READ and MAY_SEE_TASKS."""
    return may_read(user, dag_id) and _may(user, dag_id, "GET", DagAccessEntity.TASK_INSTANCE)


def may_decide(user: Any, dag_id: str) -> bool:
    """Say whether a user would pass MAY_DECIDE."""
    return _may(user, dag_id, "PUT", DagAccessEntity.HITL_DETAIL)


def may_rerun(user: Any, dag_id: str) -> bool:
    """Say whether a user would pass MAY_RERUN."""
    return _may(user, dag_id, "PUT", DagAccessEntity.TASK_INSTANCE)


def _may(user: Any, dag_id: str, method: ResourceMethod, entity: DagAccessEntity) -> bool:
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    return bool(
        get_auth_manager().is_authorized_dag(
            method=method, access_entity=entity, details=details, user=user
        )
    )


def check_sender(request: Request) -> None:
    """Refuse what a page of another site made the browser send (CSRF).

    Browsers say where a request comes from, and ask before they send JSON elsewhere.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, "send JSON")
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is not None:  # plain HTTP, or an old browser
        public = urlsplit(conf.get("api", "base_url", fallback="") or "").netloc
        # a proxy may tell another host than the browser's
        is_ours = urlsplit(origin).netloc in {request.headers.get("host"), public} - {"", None}
    else:
        is_ours = site in (None, "same-origin")  # None: no browser
    if not is_ours:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "only the page itself may ask for this")


def check_author(user: GetUserDep, request: Request) -> None:
    """Refuse an answer that was given before somebody else logged in; it is not theirs.

    Not 409, which is final: the page keeps the answer until its author is back.
    """
    given_by = request.headers.get("x-boxloop-author")
    if given_by is not None and unquote(given_by) != str(user.get_name()):
        problem = f"{unquote(given_by)} gave this answer, but {user.get_name()} is logged in now"
        raise HTTPException(status.HTTP_412_PRECONDITION_FAILED, problem)


FROM_ITS_AUTHOR = Depends(check_author)
FROM_THIS_SITE = Depends(check_sender)
