import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from boxloop import archive

Pack = Callable[[Mapping[str, bytes]], Path]


@pytest.fixture(params=["tar.gz", "whl"])
def pack(request: pytest.FixtureRequest, tmp_path: Path) -> Pack:
    """What makes an archive: everything below holds for both kinds."""
    path = tmp_path / f"weights.{request.param}"

    def pack_tar(files: Mapping[str, bytes]) -> Path:
        with tarfile.open(path, "w:gz") as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return path

    def pack_zip(files: Mapping[str, bytes]) -> Path:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in files.items():
                file.writestr(name, data)
        return path

    return pack_tar if request.param == "tar.gz" else pack_zip


def _extracted(path: Path, prefix: str | None, tmp_path: Path) -> dict[str, bytes]:
    folder = tmp_path / "out"
    folder.mkdir()
    archive.extract_checkpoint(path, prefix, folder)
    return {file.name: file.read_bytes() for file in folder.rglob("*")}


def test_a_file_is_found_by_the_end_of_its_name(pack: Pack) -> None:
    path = pack({"package/weights/not_a.pt": b"other", "package/weights/a.pt": b"weights"})
    assert archive.is_archive(path)
    for name in ("package/weights/a.pt", "weights/a.pt", "a.pt"):
        assert archive.read_member(path, name) == b"weights"
    with pytest.raises(ValueError, match=r"weights\.\w+.*: has no file t_a.pt"):
        archive.read_member(path, "t_a.pt")


def test_only_the_checkpoint_is_extracted(pack: Pack, tmp_path: Path) -> None:
    wanted = {"ckpt-2.index": b"i", "ckpt-2.data-00000-of-00001": b"d"}
    files = {f"retinanet/{name}": data for name, data in wanted.items()}
    others = {"retinanet/ckpt-22.index": b"", "params.yaml": b"", "retinanet/checkpoint": b""}
    path = pack(files | others)
    assert _extracted(path, "ckpt-2", tmp_path) == wanted


def test_the_only_checkpoint_needs_no_name(pack: Pack, tmp_path: Path) -> None:
    path = pack({"a/readme.txt": b"", "a/ckpt-7.index": b"i"})
    assert _extracted(path, None, tmp_path) == {"ckpt-7.index": b"i"}


def test_names_that_lead_out_do_not_lead_out(pack: Pack, tmp_path: Path) -> None:
    path = pack({"../../ckpt-1.index": b"i", "/ckpt-1.data-00000-of-00001": b"d"})
    found = _extracted(path, "ckpt-1", tmp_path)
    assert found == {"ckpt-1.index": b"i", "ckpt-1.data-00000-of-00001": b"d"}


def test_an_archive_without_the_checkpoint_is_refused(pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no checkpoint ckpt-1\.index"):
        _extracted(pack({"ckpt-2.index": b""}), "ckpt-1", tmp_path)


def test_an_archive_that_was_cut_off_is_refused(pack: Pack) -> None:
    path = pack({"a.pt": bytes(range(256)) * 100, "b.pt": b"b"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="is no archive that can be read"):
        archive.read_member(path, "b.pt")


def test_a_file_beyond_the_limit_is_refused(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST", 999)
    with pytest.raises(ValueError, match=r"a\.pt in an archive is larger than"):
        archive.read_member(pack({"a.pt": bytes(1000)}), "a.pt")


def test_links_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("ckpt-1.index")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(ValueError, match="has no checkpoint"):
        _extracted(path, "ckpt-1", tmp_path)


def test_other_files_are_no_archives(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"\x80\x02torch")
    assert not archive.is_archive(tmp_path / "a.pth")
    assert not archive.is_archive(tmp_path)
    assert not archive.is_archive(tmp_path / "none")
