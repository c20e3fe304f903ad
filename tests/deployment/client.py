"""Airflow's REST API, as somebody who has to log in."""

from __future__ import annotations

from typing import Any

import httpx

from boxloop.local_airflow.client import AirflowClient


class TeamClient(AirflowClient):
    """Airflow's API with a name and a password.

    Args:
        url: address of the API server.
        name: of the user.
        password: the user's.
    """

    def __init__(self, url: str, name: str, password: str) -> None:
        super().__init__(url)
        self._login = {"username": name, "password": password}

    def get(self, path: str) -> httpx.Response:
        """Return the answer to a GET of any path, whatever it is."""
        return self._http.get(path, headers=self._headers())

    def post(self, path: str, body: Any) -> httpx.Response:
        """Return the answer to a POST of JSON, whatever it is."""
        return self._http.post(path, json=body, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token or self._log_in()}"}

    def _call_once(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        if not self._token:
            self._token = self._log_in()
        return super()._call_once(method, path, **arguments)

    def _log_in(self) -> str:
        answer = self._http.post("/auth/token", json=self._login).raise_for_status()
        return str(answer.json()["access_token"])
