import datetime
import hashlib
import ipaddress
import multiprocessing
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.file_server import FileServer, serve

from boxloop import download, storage

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()

# google-cloud-storage asks for a package that only its gRPC transport needs
pytestmark = pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,127.0.0.254")
    with serve(CONTENT) as server:
        yield server


def test_a_file_is_fetched_once(server: FileServer, tmp_path: Path) -> None:
    first = download.fetch(server.url, SHA256, tmp_path)
    assert first.read_bytes() == CONTENT
    assert download.fetch(server.url, SHA256, tmp_path) == first
    assert server.ranges == [None]


def test_a_cut_connection_is_taken_up_where_it_broke(server: FileServer, tmp_path: Path) -> None:
    server.cuts = [100_000, 0, 56_000]
    assert download.fetch(server.url, SHA256, tmp_path).read_bytes() == CONTENT
    # 256,000 bytes: 100,000, none, 56,000, and what is left
    assert server.ranges == [None, "bytes=100000-", "bytes=100000-", "bytes=156000-"]


def test_what_a_killed_process_left_is_taken_up(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / f"{SHA256}.part").write_bytes(CONTENT[:1000])
    assert download.fetch(server.url, SHA256, tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_pieces_of_two_versions_are_fetched_anew(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / f"{SHA256}.part").write_bytes(b"older version")
    assert download.fetch(server.url, SHA256, tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=13-", None]


def test_more_than_there_is_makes_it_start_anew(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / f"{SHA256}.part").write_bytes(CONTENT + b"surplus")
    assert download.fetch(server.url, SHA256, tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=256007-", None]


def test_a_server_that_knows_no_parts_sends_it_all_again(
    server: FileServer, tmp_path: Path
) -> None:
    server.has_ranges, server.cuts = False, [100_000]
    assert download.fetch(server.url, SHA256, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-"]


def test_another_file_is_refused_and_not_kept(server: FileServer, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"!"
    found = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(ValueError, match=f"bin has sha256 {found}, expected {SHA256}"):
        download.fetch(server.url, SHA256, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{SHA256}.lock"]


def test_a_cached_file_that_was_damaged_is_fetched_again(
    server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / SHA256).write_bytes(b"damaged")
    assert download.fetch(server.url, SHA256, tmp_path).read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    assert download.fetch(server.url, SHA256, tmp_path).read_bytes() == CONTENT


def test_a_server_that_stays_busy_is_given_up(server: FileServer, tmp_path: Path) -> None:
    server.statuses = [503] * 4
    with pytest.raises(ConnectionError, match=r"cannot be fetched: .* 503 Service Unavailable"):
        download.fetch(server.url, SHA256, tmp_path)
    assert len(server.ranges) == 3  # at first, and after each pause


def test_a_server_that_is_not_there_is_given_up(server: FileServer, tmp_path: Path) -> None:
    url = server.url.replace("http://127.0.0.1", "http://127.0.0.254")
    with pytest.raises(ConnectionError, match="cannot be fetched"):
        download.fetch(url, SHA256, tmp_path)


def test_a_missing_file_is_not_asked_for_again(server: FileServer, tmp_path: Path) -> None:
    server.statuses = [404]
    with pytest.raises(ValueError, match="404 Not Found: is the address right"):
        download.fetch(server.url, SHA256, tmp_path)
    assert server.ranges == [None]


def test_a_file_beyond_the_limit_is_not_kept(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "LARGEST", 100_000)
    with pytest.raises(ValueError, match="larger than"):
        download.fetch(server.url, SHA256, tmp_path)
    assert not list(tmp_path.glob("*.part"))


def test_two_processes_fetch_it_once(server: FileServer, tmp_path: Path) -> None:
    server.delay = 0.5  # both are there before the answer
    work = partial(download.fetch, server.url, SHA256)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        paths = list(pool.map(work, [tmp_path, tmp_path]))
    assert paths == [tmp_path / SHA256] * 2
    assert server.ranges == [None]


def test_a_redirect_is_followed(server: FileServer, tmp_path: Path) -> None:
    server.redirects = [f"{server.url}?mirror"]
    assert download.fetch(server.url, SHA256, tmp_path).read_bytes() == CONTENT


def test_a_redirect_from_https_to_http_is_refused(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = tmp_path / "server.pem"
    certificate.write_bytes(_certificate())
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with serve(CONTENT, tls=tls) as secure:
        secure.redirects = [server.url]
        with pytest.raises(ValueError, match=r"leads on to http://.*, which is not https"):
            download.fetch(secure.url, SHA256, tmp_path)
        assert download.fetch(secure.url, SHA256, tmp_path).read_bytes() == CONTENT
    assert server.ranges == []


def test_a_file_from_a_network_needs_its_sha256(tmp_path: Path) -> None:
    message = r"set sha256 to what `curl -L https://a.b/c \| sha256sum` prints"
    with pytest.raises(ValueError, match=message):
        download.fetch("https://a.b/c", None, tmp_path)
    with pytest.raises(ValueError, match="gcloud storage cat gs://a/b"):
        download.fetch("gs://a/b", None, tmp_path)
    with pytest.raises(ValueError, match=r"https://, gs:// or a path, got ftp://"):
        download.fetch("ftp://a/b", SHA256, tmp_path)


def test_an_object_of_a_bucket_is_fetched_and_verified(bucket: str, tmp_path: Path) -> None:
    storage.write_bytes(f"{bucket}/weights.bin", CONTENT)
    assert download.fetch(f"{bucket}/weights.bin", SHA256, tmp_path).read_bytes() == CONTENT
    with pytest.raises(ValueError, match=f"expected {'0' * 64}"):
        download.fetch(f"{bucket}/weights.bin", "0" * 64, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"none\.bin does not exist"):
        download.fetch(f"{bucket}/none.bin", "1" * 64, tmp_path)


def test_a_local_file_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(CONTENT)
    for sha256 in (None, SHA256):
        assert download.fetch(str(path), sha256, tmp_path / "cache") == path
    with pytest.raises(ValueError, match="it is another file, or was changed"):
        download.fetch(str(path), "0" * 64, tmp_path / "cache")
    with pytest.raises(ValueError, match="there is no such file"):
        download.fetch(str(tmp_path / "none"), SHA256, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def _certificate() -> bytes:
    """Return a key and a certificate for 127.0.0.1, signed by itself, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=now - datetime.timedelta(hours=1),
        not_valid_after=now + datetime.timedelta(hours=1),
    ).add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("address", ["https://me:hush@host/a.pt", "http://hush@host/a.pt"])
def test_an_address_with_a_login_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(ValueError, match="an address with a login") as caught:
        download.check_source(address, "0" * 64)
    assert "hush" not in str(caught.value)


def test_the_query_of_an_address_is_in_no_message_or_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="boxloop")
    with socket.socket() as nobody:  # bound, and not listening
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/a.pt?X-Goog-Signature=hush"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(download, "PAUSES", (0.0,))
            patch.setenv("NO_PROXY", "127.0.0.1")
            with pytest.raises(ConnectionError) as caught:
                download.fetch(url, "0" * 64, tmp_path)
    assert "a.pt?***" in caplog.text
    assert "hush" not in caplog.text + str(caught.value)
