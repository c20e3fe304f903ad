"""Airflow's simple login, in which one DAG is hidden from one user."""

from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from tests.plugins.rounds_page.runs import HIDDEN, STRANGER


class Auth(SimpleAuthManager):
    def is_authorized_dag(
        self, *, user: Any, details: DagDetails | None = None, **asked: Any
    ) -> bool:
        if user.get_name() == STRANGER and details and details.id == HIDDEN:
            return False
        return super().is_authorized_dag(user=user, details=details, **asked)
