"""A real HTTP server of one file, which breaks off, forgets or lies as a test asks it to."""

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """What is served, and how the next requests go wrong: a list's first item is the next one's."""

    content: bytes
    cuts: list[int] = field(default_factory=list)
    """Bytes after which the connection breaks."""
    statuses: list[int] = field(default_factory=list)
    """Answers in place of the file."""
    redirects: list[str] = field(default_factory=list)
    """Addresses to go to in place of the file."""
    has_ranges: bool = True
    delay: float = 0.0
    """Seconds before an answer."""
    url: str = ""
    ranges: list[str | None] = field(default_factory=list)
    """The parts that were asked for, one for each request; None is the whole file."""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.ranges.append(asked)
        time.sleep(self.delay)
        if self.redirects:
            _send(handler, 302, b"", Location=self.redirects.pop(0))
        elif self.statuses:
            _send(handler, self.statuses.pop(0), b"")
        elif asked and self.has_ranges:
            self._send_part(handler, int(asked.removeprefix("bytes=").removesuffix("-")))
        else:
            self._send_file(handler, 200, self.content)

    def _send_part(self, handler: BaseHTTPRequestHandler, start: int) -> None:
        size = len(self.content)
        if start >= size:
            _send(handler, 416, b"", **{"Content-Range": f"bytes */{size}"})
            return
        place = {"Content-Range": f"bytes {start}-{size - 1}/{size}"}
        self._send_file(handler, 206, self.content[start:], **place)

    def _send_file(
        self, handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str
    ) -> None:
        cut = self.cuts.pop(0) if self.cuts else len(body)
        _send(handler, status, body[:cut], **headers, **{"Content-Length": str(len(body))})


@contextlib.contextmanager
def serve(content: bytes, *, tls: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    """Serve a file on this machine, by https where there is a certificate."""
    file = FileServer(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        file.url = f"{scheme}://127.0.0.1:{server.server_port}/weights.bin"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield file
        server.shutdown()
        thread.join()


def _send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in ({"Content-Length": str(len(body))} | headers).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
