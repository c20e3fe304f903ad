import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.security import audit

PROJECT = Path(__file__).parents[2]


class Osv(BaseHTTPRequestHandler):
    """Answers as OSV does; jinja2 2.4.1 has a hole."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        bad = {"name": "jinja2", "ecosystem": "PyPI"}, "2.4.1"
        results = [
            {"vulns": [{"id": "GHSA-1"}]} if (each["package"], each["version"]) == bad else {}
            for each in asked
        ]
        data = json.dumps({"results": results}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = HTTPServer(("127.0.0.1", 0), Osv)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def lock(folder: Path, text: str) -> str:
    (folder / "lock.txt").write_text(text)
    return str(folder / "lock.txt")


def test_a_package_with_a_hole_is_told(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "# by uv\na==1.0 ; python_version < '3.12'\n    # via b\nJinja2[x]==2.4.1 \\\n"
    assert audit.main(["--url", url, lock(tmp_path, f"{text}    --hash=sha256:00\n")]) == 1
    assert capsys.readouterr().out == "jinja2 2.4.1: GHSA-1\n2 packages, 1 with known holes\n"


def test_none_is_told_where_there_is_none(url: str, tmp_path: Path) -> None:
    assert audit.main(["--url", url, lock(tmp_path, "jinja2==3.1.6\n")]) == 0


def test_what_was_not_checked_does_not_pass_for_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert audit.main(["--url", "http://127.0.0.1:9", lock(tmp_path, "a==1\n")]) == 2
    assert "1 packages were NOT checked" in capsys.readouterr().err


def test_a_package_without_a_version_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 1 pins no version: 'requests>=2'"):
        audit.read_locks([lock(tmp_path, "requests>=2\n")])


def test_the_locks_pin_every_package_also_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    assert {str(path) for path in Path("docker").glob("*.txt")} <= set(audit.LOCKS)
    packages = audit.read_locks(audit.LOCKS)
    assert len(packages) > 200
    assert {"apache-airflow-core", "lxml", "pillow", "tensorflow"} <= {name for name, _ in packages}
