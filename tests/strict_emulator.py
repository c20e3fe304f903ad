"""The emulator of Google Cloud Storage, held to what Google promises; see faulty_bucket.py."""

from __future__ import annotations

import http.client
import io
import json
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from gcp_storage_emulator.server import Router


class Answer(NamedTuple):
    """What the emulator, or a fault, answers."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Asked(NamedTuple):
    """Which object a request is about, and on what conditions."""

    bucket: str
    name: str
    query: dict[str, str]
    is_write: bool


class _Inner:
    """What the emulator takes for its connection."""

    def __init__(self, path: str, headers: Any, body: bytes, storage: Any) -> None:
        self.path, self.headers, self.storage = path, headers, storage
        self.rfile, self.wfile = io.BytesIO(body), io.BytesIO()
        self.server = SimpleNamespace(server_address=("127.0.0.1", 0))
        self.status = 0
        self.answers: dict[str, str] = {}

    def send_response(self, status: int, phrase: str) -> None:
        del phrase
        self.status = status

    def send_header(self, name: str, value: str) -> None:
        self.answers[name] = value

    def end_headers(self) -> None:
        pass


def ask(storage: Any, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Ask the emulator, without a connection."""
    given = http.client.HTTPMessage()
    for name, value in headers.items():
        if name.lower() != "transfer-encoding":  # the body is whole by now
            given[name] = value
    del given["Content-Length"]
    given["Content-Length"] = str(len(body))
    inner = _Inner(path, given, body, storage)
    try:
        Router(inner).handle(method)
    except Exception as problem:  # the emulator's own faults are not ours to spread
        return error(500, f"the emulator fails: {problem!r}")
    return Answer(inner.status, inner.answers, inner.wfile.getvalue())


_OBJECT = re.compile(r"(?:/storage/v1|/download/storage/v1)?/b/([^/]+)/o/(.+)")
_COPY = re.compile(r".*/(?:copyTo|rewriteTo)/b/([^/]+)/o/(.+)")
_UPLOAD = re.compile(r"/upload/storage/v1/b/([^/]+)/o")


def read_request(method: str, target: str, body: bytes) -> Asked | None:
    """Return what a request asks for, None for a listing and what else is no object's."""
    parts = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    if upload := _UPLOAD.fullmatch(parts.path):
        return Asked(
            upload[1], query.get("name") or _name_within(query, body), query, is_write=True
        )
    if found := _COPY.fullmatch(parts.path) or _OBJECT.fullmatch(parts.path):
        return Asked(found[1], unquote(found[2]), query, is_write=method != "GET")
    return None


def _name_within(query: Mapping[str, str], body: bytes) -> str:
    """Return the name that an upload gives in its body, or gave when it began."""
    if "upload_id" in query:
        return query["upload_id"].split(":", 1)[1].rsplit(":", 3)[0]
    found = re.search(rb'"name":\s*("(?:[^"\\]|\\.)*")', body)
    return str(json.loads(found[1])) if found else ""


def refusal(asked: Asked, generation: int) -> Answer | None:
    """Return the answer to a request whose conditions do not hold."""
    wanted, unwanted = (
        asked.query.get(name) for name in ("ifGenerationMatch", "ifGenerationNotMatch")
    )
    one = asked.query.get("generation")
    if one is not None and int(one) != generation:
        return error(404, f"No such object: {asked.bucket}/{asked.name}#{one}")
    if wanted is not None and int(wanted) != generation:
        if generation == 0 and not asked.is_write:
            return error(404, f"No such object: {asked.bucket}/{asked.name}")
        return error(412, "At least one of the pre-conditions you specified did not hold.")
    if unwanted is not None and int(unwanted) == generation:
        return Answer(304) if not asked.is_write else error(412, "The generation is this one.")
    return None


def rest_of_upload(
    emulator: Any, upload: str, headers: Mapping[str, str], body: bytes
) -> tuple[dict[str, str], bytes]:
    """Return headers and body of a piece of an upload, less the bytes that have come before.

    A client sends a piece again when it had no answer; Google takes of it what it has not yet.
    """
    had = emulator.get_resumable_byte_count(upload)
    changed = {name: value for name, value in headers.items() if name.lower() != "content-range"}
    given = next((headers[name] for name in headers if name.lower() == "content-range"), "")
    piece = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", given)
    if not piece or int(piece[1]) >= had:
        return dict(headers), body
    start, end, total = int(piece[1]), int(piece[2]), piece[3]
    place = f"{had}-{end}" if end >= had else "*"
    return {**changed, "Content-Range": f"bytes {place}/{total}"}, body[had - start :]


def mended(
    answer: Answer, emulator: Any, asked: Asked | None, headers: Mapping[str, str]
) -> Answer:
    """Return the emulator's answer as Google would give it."""
    if asked is None or answer.status >= 400:
        return answer
    changed = dict(answer.headers)
    lowered = {name.lower(): value for name, value in headers.items()}
    found = emulator.objects.get(asked.bucket, {}).get(asked.name)
    if not asked.is_write and found:
        changed["X-Goog-Generation"] = str(found["generation"])
        changed["X-Goog-Hash"] = f"crc32c={found['crc32c']},md5={found['md5Hash']}"
        begin = re.fullmatch(r"bytes=(\d+)-\d*", lowered.get("range") or "")
        if begin and int(begin[1]) >= int(found["size"]):
            return error(416, "The requested range cannot be satisfied.")
    upload = asked.query.get("upload_id")
    if upload and answer.status == 308 and not emulator.get_resumable_byte_count(upload):
        changed.pop("Range", None)  # nothing of it is there
    given = re.search(r"crc32c=([^,]+)", lowered.get("x-goog-hash") or "")
    if upload and given and found and answer.status == 200 and found["crc32c"] != given[1]:
        emulator.delete_file(asked.bucket, asked.name)
        return error(400, f"Provided CRC32C {given[1]} is not that of the content.")
    return answer._replace(headers=changed)


def error(status: int, message: str) -> Answer:
    body = {"error": {"code": status, "message": message, "errors": [{"message": message}]}}
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(body).encode())
