"""The routes of the review page. Each one that tells or takes anything names its right."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI, HTTPException, Query, Request, Response, status
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from boxloop import review
from boxloop_airflow.review import pictures, state
from boxloop_airflow.review.rights import FROM_THIS_SITE, MAY_DECIDE, MAY_READ, may_decide
from boxloop_airflow.review.runs import asked_rounds, find_round

PAGE = Path(__file__).parent / "page"
FILES = {path.name: path for path in PAGE.iterdir() if path.suffix in (".css", ".js")}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; frame-ancestors 'self'; base-uri 'none'; "
    "form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
RUN = "/dags/{dag_id}/runs/{run_id}"
ROUND = f"{RUN}/rounds/{{number}}"

app = FastAPI(title="Boxloop review", openapi_url=None, docs_url=None, redoc_url=None)


class BoxGiven(BaseModel):
    """A box as the page sends it, in pixels of its image."""

    model_config = ConfigDict(extra="forbid")

    class_name: str = Field(max_length=1000)
    xmin: float
    ymin: float
    xmax: float
    ymax: float


class Answer(BaseModel):
    """A decision as the page sends it; who decides, and when, is not the page's to say."""

    model_config = ConfigDict(extra="forbid")

    image_id: str = Field(max_length=4096)
    action: Literal["accept", "reject", "correct", "skip", "undo"]
    boxes: list[BoxGiven] = Field(default=[], max_length=500)
    seconds: float
    is_repeat: bool = False
    """It may have arrived before."""


@app.middleware("http")
async def add_headers(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Tell browsers to take nothing for what it is not, and to load from here alone."""
    response = await call_next(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


@app.get("/static/{name}")
def static(name: str, user: GetUserDep) -> FileResponse:
    """Return a script or the style sheet to anyone who is logged in."""
    if name not in FILES:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "there is no such file")
    return FileResponse(FILES[name], headers={"Cache-Control": "private, no-cache"})


@app.get(RUN, dependencies=[MAY_READ])
def page(dag_id: str, run_id: str) -> FileResponse:
    """Return the page; it asks the routes below for all it shows."""
    return FileResponse(PAGE / "review.html", media_type="text/html; charset=utf-8")


@app.get(f"{RUN}/rounds", dependencies=[MAY_READ])
def rounds(dag_id: str, run_id: str, user: GetUserDep, session: SessionDep) -> dict[str, Any]:
    """Return the rounds that people are asked about, and what this user may do."""
    asked = [
        {
            "number": each.number,
            "map_index": each.map_index,
            "is_closed": review.is_closed(each.run, each.number),
        }
        for each in asked_rounds(session, dag_id, run_id)
    ]
    return {
        "rounds": asked,
        "author": str(user.get_name()),
        "may_decide": may_decide(user, dag_id),
    }


@app.get(f"{ROUND}/queue", dependencies=[MAY_READ])
def queue(dag_id: str, run_id: str, number: int, session: SessionDep) -> dict[str, Any]:
    """Return what a round asks."""
    return state.describe_queue(find_round(session, dag_id, run_id, number))


@app.get(f"{ROUND}/decisions", dependencies=[MAY_READ])
def decisions(dag_id: str, run_id: str, number: int, session: SessionDep) -> dict[str, Any]:
    """Return what people have answered so far."""
    return state.describe_decisions(find_round(session, dag_id, run_id, number))


@app.post(f"{ROUND}/decisions", dependencies=[FROM_THIS_SITE, MAY_READ, MAY_DECIDE])
def decide(
    dag_id: str, run_id: str, number: int, answer: Answer, user: GetUserDep, session: SessionDep
) -> dict[str, Any]:
    """Save a decision of the user who is logged in."""
    found = find_round(session, dag_id, run_id, number)
    said = answer.model_dump(exclude={"is_repeat"})
    try:
        decision = state.build_decision(found, said, str(user.get_name()))
    except ValueError as error:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from error
    if not (answer.is_repeat and state.is_recorded(found, decision)):
        if answer.action == "undo" and (other := state.who_else_stands(found, decision)):
            problem = f"{other} has decided since; what stands is not yours to take back"
            raise HTTPException(status.HTTP_409_CONFLICT, problem)
        try:
            review.record(found.run, number, decision)
        except ValueError as error:
            raise HTTPException(status.HTTP_409_CONFLICT, _closed(number)) from error
    return {"progress": review.progress(found.run, number)}


@app.get(f"{ROUND}/image", dependencies=[MAY_READ])
def image(
    dag_id: str,
    run_id: str,
    number: int,
    image_id: Annotated[str, Query(max_length=4096)],
    size: Literal["view", "crop"],
    request: Request,
    session: SessionDep,
) -> Response:
    """Return an image of the queue, or the crop around its proposed box, as a small JPEG."""
    found = state.find_image(find_round(session, dag_id, run_id, number), image_id)
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "this image is not in the queue")
    region, side = _region(found, size), pictures.CROP_SIDE
    if size == "view":
        side = pictures.VIEW_SIDE
    key = (str(found["uri"]), str(found["sha256"]), region, side)
    tag = f'"{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}"'
    # asked for again each time, so that whoever has logged out sees nothing
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    try:
        return Response(pictures.read_jpeg(*key), media_type="image/jpeg", headers=headers)
    except ValueError as error:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from error


def _region(found: Any, size: str) -> pictures.Edges | None:
    if size == "view" or found["box"] is None:
        return None
    box = tuple(found["box"].values())
    return pictures.around(box, found["width"], found["height"])


def _closed(number: int) -> str:
    return f"the review of round {number} is closed: its decisions are in the dataset already"
