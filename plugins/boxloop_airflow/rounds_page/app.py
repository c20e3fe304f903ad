"""The routes of the Rounds page. Each one that tells or takes anything names its right."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.api_fastapi.logging.decorators import action_logging
from anyio import to_thread
from fastapi import Depends, HTTPException, Query, Request, Response, status
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from boxloop import storage
from boxloop.artifacts import Run
from boxloop_airflow.pages.app import join_modules, make_app, serve_files, unless_known
from boxloop_airflow.pages.pictures import DECODERS
from boxloop_airflow.pages.rights import (
    FROM_THIS_SITE,
    MAY_READ,
    MAY_RERUN,
    MAY_SEE_TASKS,
    may_rerun,
    may_see_tasks,
)
from boxloop_airflow.pages.runs import Round, served_rounds
from boxloop_airflow.rounds_page import experiments, matrix, state
from boxloop_airflow.rounds_page.examples import build_examples
from boxloop_airflow.rounds_page.rerun import rerun

log = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
PARTS = ("server.js", "words.js", "dom.js")
"""Modules that both pages need."""
LARGEST_BODY = 1000  # bytes
REPORT_SECURITY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
"""The report is one file with its own styles and pictures, and runs nothing."""
RUN = "/dags/{dag_id}/runs/{run_id}"
READS = [MAY_READ, MAY_SEE_TASKS]

app = make_app("Boxloop rounds", largest_body=LARGEST_BODY, images="data:")
serve_files(
    app,
    {
        "rounds.css": (PAGE / "rounds.css").read_text(),
        "rounds.js": join_modules(
            PAGE,
            *PARTS,
            "matrix.js",
            "times.js",
            "figures.js",
            "examples.js",
            "rerun.js",
            "rounds.js",
        ),
        "experiments.js": join_modules(PAGE, *PARTS, "experiments.js"),
    },
)


class Rerun(BaseModel):
    """What the page asks for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    from_round: int = Field(ge=1, le=9999)


def served(dag_id: str, run_id: str, session: SessionDep) -> list[Round]:
    """Return the rounds of a run that lies where this server looks; 404 of another."""
    found = served_rounds(session, dag_id, run_id)
    session.commit()  # what follows may wait for storage
    if not found:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "this run has no rounds that are served")
    return found


Served = Annotated[list[Round], Depends(served)]


@contextmanager
def told_if_unreadable(run: Run) -> Iterator[None]:
    """Answer 503 and the reason where what a run holds cannot be read."""
    try:
        yield
    except Exception as error:
        log.exception("What %s holds cannot be shown", run.uri)
        problem = f"it cannot be read: {state.in_words(error)}"
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, problem) from error


@app.get("/experiments")
def experiments_page(user: GetUserDep) -> FileResponse:
    """Return the page with all experiments to anyone who is logged in."""
    return FileResponse(PAGE / "experiments.html", media_type="text/html; charset=utf-8")


@app.get("/experiments/list")
def list_experiments(user: GetUserDep, session: SessionDep, request: Request) -> Response:
    """Return the experiments that this user may see."""
    readable = [each for each in experiments.tagged_dags(session) if may_see_tasks(user, each)]
    return _tell(request, experiments.list_experiments(session, readable))


@app.get(RUN, dependencies=READS)
def page(dag_id: str, run_id: str) -> FileResponse:
    """Return the page of a run; it asks the routes below for all it shows."""
    return FileResponse(PAGE / "rounds.html", media_type="text/html; charset=utf-8")


@app.get(f"{RUN}/state", dependencies=READS)
def tell_state(
    dag_id: str,
    run_id: str,
    user: GetUserDep,
    session: SessionDep,
    request: Request,
    known: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """Return all that the page shows but pictures; 304 where nothing has changed."""
    found = state.describe(session, dag_id, run_id, known)
    return _tell(request, {**found, "may_rerun": may_rerun(user, dag_id)})


def asked_round(
    dag_id: str, run_id: str, number: int, rounds: Served, session: SessionDep
) -> tuple[Round, str]:
    """Return a round, and what tells its present pictures from others; 404 if there is none."""
    for each in rounds:
        if each.number == number:
            ends = [
                (one.name, str(one.end_date))
                for one in matrix.read_instances(session, dag_id, run_id)
                if one.map_index == each.map_index and one.name in ("evaluate", matrix.PEOPLE)
            ]
            session.commit()  # pictures are read without it
            return each, repr(ends)
    raise HTTPException(status.HTTP_404_NOT_FOUND, f"no round {number} is planned")


@app.get(f"{RUN}/rounds/{{number}}/examples", dependencies=READS)
async def tell_examples(
    found: Annotated[tuple[Round, str], Depends(asked_round)], request: Request
) -> Response:
    """Return a few pictures of a round, with what it detected in them."""
    (_, number, _), stamp = found
    with told_if_unreadable(found[0].run):
        make = partial(build_examples, found[0].run, number, stamp)
        made = await to_thread.run_sync(make, limiter=DECODERS)
    return _tell(request, made)


@app.get(f"{RUN}/report", dependencies=READS)
def report(rounds: Served, request: Request) -> Response:
    """Return the report of a run."""
    with told_if_unreadable(rounds[0].run):
        uri = rounds[0].run.report
        content = storage.read_bytes(uri) if storage.exists(uri) else None
    if content is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "there is no report yet")
    answer = unless_known(request, content, "text/html; charset=utf-8")
    answer.headers["Content-Security-Policy"] = REPORT_SECURITY
    return answer


@app.post(
    f"{RUN}/rerun",
    dependencies=[FROM_THIS_SITE, *READS, MAY_RERUN, Depends(action_logging("rerun_rounds"))],
)
def rerun_rounds(
    dag_id: str, run_id: str, asked: Rerun, rounds: Served, session: SessionDep
) -> dict[str, Any]:
    """Undo rounds and clear their tasks, so that they are done anew."""
    return rerun(session, dag_id, run_id, rounds, asked.from_round)


def _tell(request: Request, value: Any) -> Response:
    return unless_known(request, json.dumps(value, allow_nan=False).encode(), "application/json")
