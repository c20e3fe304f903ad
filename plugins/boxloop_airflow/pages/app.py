"""An application that serves a page: its headers, its limits, its files."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI, HTTPException, Request, Response, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'{images}; "
    "connect-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
"""A page loads from its own host alone, and runs nothing that stands in its text."""
KINDS = {".css": "text/css", ".js": "text/javascript"}

log = logging.getLogger(__name__)


def make_app(title: str, *, largest_body: int, images: str = "") -> FastAPI:
    """Return an application without routes, each answer of which has the headers of a page.

    Args:
        title: its name.
        largest_body: of a POST, in bytes.
        images: further sources of images, such as `data:`.
    """
    app = FastAPI(title=title, openapi_url=None, docs_url=None, redoc_url=None)
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": SECURITY.format(images=f" {images}" if images else ""),
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    app.middleware("http")(_limits(largest_body))
    app.middleware("http")(_adds(headers))  # around the other: what that refuses has them too
    app.add_exception_handler(RequestValidationError, _tell_invalid)
    app.add_exception_handler(UnicodeEncodeError, _tell_no_text)
    return app


def serve_files(app: FastAPI, files: Mapping[str, str]) -> None:
    """Serve scripts and style sheets at static/NAME to anyone who is logged in.

    Args:
        app: the application.
        files: name to content.
    """

    @app.get("/static/{name}")
    def static(name: str, user: GetUserDep, request: Request) -> Response:
        if name not in files:
            raise HTTPException(status.HTTP_404_NOT_FOUND, "there is no such file")
        return unless_known(request, files[name].encode(), KINDS[Path(name).suffix])


def unless_known(request: Request, content: bytes, kind: str) -> Response:
    """Return content, or 304 to a browser that has it.

    It is asked for again each time, so that whoever has logged out sees nothing.
    """
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    # a proxy that compresses marks the tag as weak
    if request.headers.get("if-none-match", "").removeprefix("W/") == tag:
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(content, media_type=kind, headers=headers)


def join_modules(folder: Path, *names: str) -> str:
    """Return modules as one, so that they take one request; each after those that it imports.

    What is at the top of two modules must not have the same name.
    """
    texts = [(folder / name).read_text() for name in names]
    return "\n".join(re.sub(r"(?m)^import .*\n|^export ", "", text) for text in texts)


def _adds(headers: Mapping[str, str]) -> Callable[..., Awaitable[Response]]:
    """Tell browsers to take nothing for what it is not, and to load from here alone."""

    async def add_headers(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        try:
            response = await call_next(request)
        except Exception:  # Starlette's own answer would come without these headers
            log.exception("%s %s failed", request.method, request.url.path)
            problem = {"detail": "it failed; the log of Airflow's API server says why"}
            response = JSONResponse(problem, status.HTTP_500_INTERNAL_SERVER_ERROR)
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        return response

    return add_headers


def _limits(largest: int) -> Callable[..., Awaitable[Response]]:
    """Refuse a body that is too large, or of no stated size, before it is read."""

    async def limit_bodies(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        length = request.headers.get("content-length", "")
        if request.method == "POST" and not (length.isdecimal() and int(length) <= largest):
            problem = {"detail": f"the limit is {largest} bytes, and Content-Length must be stated"}
            return JSONResponse(problem, status.HTTP_413_CONTENT_TOO_LARGE)
        return await call_next(request)

    return limit_bodies


def _tell_invalid(request: Request, error: Exception) -> Response:
    """Say what is wrong, but not repeat what was sent: it may not be JSON."""
    errors = error.errors() if isinstance(error, RequestValidationError) else []
    found = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in errors)
    text = json.dumps({"detail": "; ".join(found)})  # in ASCII, whatever a name is made of
    return Response(text, status.HTTP_422_UNPROCESSABLE_CONTENT, media_type="application/json")


def _tell_no_text(request: Request, error: Exception) -> Response:
    """Refuse names that are no text: half of a pair of surrogates."""
    problem = {"detail": "there is a character that is none"}
    return JSONResponse(problem, status.HTTP_422_UNPROCESSABLE_CONTENT)
