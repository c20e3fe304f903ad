"""The routes of the review page. Each one that tells or takes anything names its right."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from anyio import to_thread
from fastapi import Depends, HTTPException, Query, Request, Response, status
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from boxloop import review
from boxloop.oracle.answers import MAX_BYTES
from boxloop_airflow.pages import pictures
from boxloop_airflow.pages.app import make_app, serve_files
from boxloop_airflow.pages.rights import (
    FROM_ITS_AUTHOR,
    FROM_THIS_SITE,
    MAY_DECIDE,
    MAY_READ,
    may_decide,
)
from boxloop_airflow.pages.runs import Round, is_elsewhere
from boxloop_airflow.review import state
from boxloop_airflow.review.runs import asked_rounds, find_round

PAGE = Path(__file__).parent / "page"
_RECORDING = threading.Lock()  # an answer that comes from two tabs at once is saved once
RUN = "/dags/{dag_id}/runs/{run_id}"
ROUND = f"{RUN}/rounds/{{number}}"

app = make_app("Boxloop review", largest_body=MAX_BYTES)


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
    token: str = Field(pattern=r"^[0-9a-f]{8}$")
    """Names the answer: sent again, it is known by it."""
    queue: str = Field(max_length=64)
    """Digest of the queue that the answer is for."""


serve_files(
    app,
    {path.name: path.read_text() for path in PAGE.iterdir() if path.suffix in (".css", ".js")},
)


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
        "is_elsewhere": is_elsewhere(session, dag_id, run_id),
    }


@app.get(f"{ROUND}/queue", dependencies=[MAY_READ])
def queue(dag_id: str, run_id: str, number: int, session: SessionDep) -> dict[str, Any]:
    """Return what a round asks."""
    return state.describe_queue(find_round(session, dag_id, run_id, number))


@app.get(f"{ROUND}/decisions", dependencies=[MAY_READ])
def decisions(dag_id: str, run_id: str, number: int, session: SessionDep) -> dict[str, Any]:
    """Return what people have answered so far."""
    return state.describe_decisions(find_round(session, dag_id, run_id, number))


@app.post(
    f"{ROUND}/decisions", dependencies=[FROM_THIS_SITE, MAY_READ, MAY_DECIDE, FROM_ITS_AUTHOR]
)
def decide(
    dag_id: str, run_id: str, number: int, answer: Answer, user: GetUserDep, session: SessionDep
) -> dict[str, Any]:
    """Save a decision of the user who is logged in."""
    found = find_round(session, dag_id, run_id, number)
    with _RECORDING:
        if not review.has_arrived(found.run, number, answer.token):
            _record(found, answer, str(user.get_name()))
    return state.describe_decisions(found)


def asked_image(
    dag_id: str,
    run_id: str,
    number: int,
    image_id: Annotated[str, Query(max_length=4096)],
    session: SessionDep,
) -> Mapping[str, Any]:
    """Return an image of the queue; 404 where it is not in it."""
    found = state.find_image(find_round(session, dag_id, run_id, number), image_id)
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "this image is not in the queue")
    return found


@app.get(f"{ROUND}/image", dependencies=[MAY_READ])
async def image(
    found: Annotated[Mapping[str, Any], Depends(asked_image)],
    size: Literal["view", "crop"],
    request: Request,
) -> Response:
    """Return an image of the queue, or the crop around its proposed box, as a small JPEG."""
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
        data = await to_thread.run_sync(pictures.read_jpeg, *key, limiter=pictures.DECODERS)
    except ValueError as error:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from error
    return Response(data, media_type="image/jpeg", headers=headers)


def _region(found: Any, size: str) -> pictures.Edges | None:
    if size == "view" or found["box"] is None:
        return None
    return pictures.around(found["box"], found["width"], found["height"])


def _record(found: Round, answer: Answer, author: str) -> None:
    """Save an answer, or raise the HTTPException that says why not."""
    if answer.queue != review.read_review(found.run, found.number).digest:
        problem = "other boxes are proposed by now; reload the page"
        raise HTTPException(status.HTTP_409_CONFLICT, problem)
    said = answer.model_dump(exclude={"token", "queue"})
    try:
        decision = state.build_decision(found, said, author)
    except ValueError as error:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from error
    if answer.action == "undo" and (other := state.who_else_stands(found, decision)):
        problem = f"{other} has decided since; what stands is not yours to take back"
        raise HTTPException(status.HTTP_409_CONFLICT, problem)
    try:
        review.record(found.run, found.number, decision, answer.token)
    except ValueError as error:
        raise HTTPException(status.HTTP_409_CONFLICT, _closed(found.number)) from error


def _closed(number: int) -> str:
    return f"the review of round {number} is closed: its decisions are in the dataset already"
