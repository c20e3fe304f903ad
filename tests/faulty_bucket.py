"""A bucket that does what the emulator does not: hold writers to preconditions, and go wrong.

It is the emulator (gcp-storage-emulator), asked by way of a server of its own that

- enforces `ifGenerationMatch` and `ifGenerationNotMatch` of reads, uploads (also resumable ones, at
  their end too), copies and deletes, `generation` and, of uploads, X-Goog-Hash,
- tells the generation of what is downloaded, as Google does, and 416 of a range behind the end,
- strikes requests with faults, as it is told to, by `FaultyBucket.strike` in the same process or
  from anywhere by HTTP:

    python -m tests.faulty_bucket --port 9023 &
    export STORAGE_EMULATOR_HOST=http://127.0.0.1:9023
    curl -X POST $STORAGE_EMULATOR_HOST/faults -d '{"kind": "status", "where": "POST", "count": 3}'
    curl $STORAGE_EMULATOR_HOST/faults           # each fault, with how often it struck
    curl -X DELETE $STORAGE_EMULATOR_HOST/faults # all is well again

Batches and the XML API are passed on as they are.

Source: https://cloud.google.com/storage/docs/request-preconditions
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from gcp_storage_emulator.server import create_server
from tests.request_faults import Fault
from tests.strict_emulator import Answer, ask, error, mended, read_request, refusal, rest_of_upload


@dataclass
class FaultyBucket:
    """What is served, how it goes wrong, and what was asked."""

    emulator: Any
    """The emulator's storage."""
    url: str = ""
    uri: str = "gs://bucket"
    uploads: dict[str, Answer] = field(default_factory=dict)
    """Resumable uploads that are done, and what was answered."""
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """Each as "METHOD /path?query", percent signs decoded, in the order in which they came."""

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self._chance = random.Random(0)

    def strike(self, kind: str, where: str = "", **options: Any) -> Fault:
        """Let requests go wrong from now on; see Fault for the options."""
        self.faults.append(Fault(kind, where, **options))
        return self.faults[-1]

    def asked(self, where: str) -> int:
        """Return how many requests matched a regular expression."""
        return sum(re.search(where, line) is not None for line in self.requests)

    def clear(self) -> None:
        """Let all be well again, and forget what was asked."""
        self.faults.clear()
        self.requests.clear()

    def meet(self, line: str) -> Fault | None:
        """Note a request; return the first fault that strikes it."""
        with self.lock:
            self.requests.append(line)
            return next((f for f in self.faults if f.strikes(line, self._chance)), None)

    def generation(self, name: str, bucket: str = "bucket") -> int:
        """Return the generation of an object, 0 where there is none."""
        found = self.emulator.objects.get(bucket, {}).get(name)
        return int(found["generation"]) if found else 0

    def write(self, name: str, content: bytes, bucket: str = "bucket") -> None:
        """Write an object as another writer would."""
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}"
        ask(self.emulator, "POST", path, {"Content-Type": "text/plain"}, content)


@contextlib.contextmanager
def serve(port: int = 0, *, folder: Path | None = None) -> Iterator[FaultyBucket]:
    """Serve the bucket gs://bucket on this machine, in memory or in a folder, by threads."""
    made = create_server(
        "127.0.0.1",
        0,
        in_memory=folder is None,
        default_bucket="bucket",
        data_dir=folder and str(folder),
    )
    emulator = made._storage
    if folder is None:  # it would write all it knows to a file in memory, at each request
        emulator._write_config_to_file = lambda: None
    emulator.buckets["bucket"]["softDeletePolicy"] = {"retentionDurationSeconds": "0"}
    faulty = FaultyBucket(emulator)
    handler = type("Handler", (_Handler,), {"faulty": faulty})
    with _Server(("127.0.0.1", port), handler) as server:
        faulty.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="faulty bucket")
        thread.start()
        try:
            yield faulty
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # so many connections may be opened at once
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, as Google's are
    disable_nagle_algorithm = True
    faulty: FaultyBucket

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client is gone
            super().handle_one_request()
            return
        self.close_connection = True

    def answer(self) -> None:
        if self.path == "/faults":
            self._send(_control(self.faulty, self.command, self._body()))
            return
        line = f"{self.command} {unquote(self.path)}"
        fault = self.faulty.meet(line)
        kind = fault.kind if fault else ""
        if fault and kind in ("hang", "slow"):
            time.sleep(fault.seconds)
        if kind in ("cut_before", "hang", "cut_request"):
            self._cut(read=kind == "cut_request")
            return
        body = self._body()
        if fault and kind == "status":
            self._send(error(fault.status, "a fault of the test"))
            return
        if kind == "corrupt_request":
            body = _changed(body, len(body) // 2)
        answer = self._obey(body, fault)
        if fault and kind == "late_status":
            answer = error(fault.status, "a fault of the test; the work is done")
        if kind == "corrupt":
            answer = answer._replace(body=_changed(answer.body, len(answer.body) // 2))
        if kind == "cut_after":
            self._cut()
        else:
            self._send(answer, share=fault.share if fault and kind == "cut_answer" else 1.0)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer  # noqa: N815

    def _obey(self, body: bytes, fault: Fault | None) -> Answer:
        """Do what is asked, if its conditions hold; nobody else writes meanwhile."""
        faulty = self.faulty
        with faulty.lock:
            headers, asked = dict(self.headers.items()), read_request(self.command, self.path, body)
            upload = asked.query.get("upload_id") if asked else None
            if upload in faulty.uploads:  # done already; its answer was lost
                return faulty.uploads[upload]
            if upload and self.command == "DELETE":  # the client gives up
                return Answer(499)
            if upload:
                headers, body = rest_of_upload(faulty.emulator, upload, headers, body)
            if asked and fault and fault.kind == "other_writer":
                faulty.write(asked.name, fault.content.encode(), asked.bucket)
            generation = faulty.generation(asked.name, asked.bucket) if asked else 0
            if asked and (refused := refusal(asked, generation)):
                return refused
            answer = ask(faulty.emulator, self.command, self.path, headers, body)
            answer = mended(answer, faulty.emulator, asked, headers)
            if upload and answer.status == 200:
                faulty.uploads[upload] = answer
            return answer

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().strip() or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _cut(self, *, read: bool = False) -> None:
        if read:
            self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _send(self, answer: Answer, share: float = 1.0) -> None:
        self.send_response(answer.status)
        for name, value in (
            {"Content-Length": str(len(answer.body))} | dict(answer.headers)
        ).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body[: int(len(answer.body) * share)])
        if share < 1:
            self._cut()

    def log_message(self, format: str, *args: object) -> None:
        del format, args


def _changed(body: bytes, place: int) -> bytes:
    return body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :] if body else body


def _control(faulty: FaultyBucket, method: str, body: bytes) -> Answer:
    """Take faults, tell of them, or clear them."""
    if method == "POST":
        try:
            faulty.strike(**json.loads(body))
        except (TypeError, ValueError) as problem:
            return error(400, str(problem))
    told = [asdict(fault) for fault in faulty.faults]
    if method == "DELETE":
        faulty.clear()
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(told).encode())


def main() -> None:
    """Serve until this process is told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9023)
    parser.add_argument("--folder", type=Path, help="keep objects there; default: in memory")
    options = parser.parse_args()
    with serve(options.port, folder=options.folder) as faulty:
        print(f"export STORAGE_EMULATOR_HOST={faulty.url}  # process {os.getpid()}", flush=True)  # noqa: T201
        threading.Event().wait()


if __name__ == "__main__":
    main()
