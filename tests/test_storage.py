from pathlib import Path

import pytest

from boxloop import storage


@pytest.fixture(params=["local", "gs"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder: everything below holds for both kinds."""
    if request.param == "local":
        return str(tmp_path / "root")
    return f"{request.getfixturevalue('bucket')}/{request.node.name}"


def test_what_is_written_is_read(root: str) -> None:
    storage.write_bytes(f"{root}/a/b.bin", b"\x00\xff")
    storage.write_bytes(f"{root}/a/b.bin", b"second")
    assert storage.read_bytes(f"{root}/a/b.bin") == b"second"
    assert storage.exists(f"{root}/a/b.bin")
    # sha256 of b"second"
    assert storage.digest(f"{root}/a/b.bin").startswith("16367aacb67a4a01")


def test_the_start_of_an_object_is_read_and_all_of_a_smaller_one(root: str) -> None:
    for data, start in ((b"", b""), (b"ab", b"ab"), (b"abc", b"abc"), (b"abcd", b"abc")):
        storage.write_bytes(f"{root}/a", data)
        assert storage.read_start(f"{root}/a", 3) == start
    with pytest.raises(FileNotFoundError, match="none"):
        storage.read_start(f"{root}/none", 3)


def test_json_is_the_same_bytes_for_the_same_value(root: str) -> None:
    storage.write_json(f"{root}/a.json", {"b": 1, "a": [None, 0.5]})
    assert storage.read_json(f"{root}/a.json") == {"a": [None, 0.5], "b": 1}
    assert storage.read_bytes(f"{root}/a.json").startswith(b'{\n  "a": [')


def test_a_swap_exchanges_what_is_expected_and_nothing_else(root: str) -> None:
    uri = f"{root}/a/lease"
    assert not storage.swap_bytes(uri, b"1", b"2")
    assert storage.swap_bytes(uri, None, b"1")
    assert not storage.swap_bytes(uri, None, b"2")
    assert storage.swap_bytes(uri, b"1", b"2")
    assert storage.read_bytes(uri) == b"2"
    assert storage.swap_bytes(uri, b"2", None)
    assert not storage.exists(uri)


def test_what_is_deleted_is_gone_and_may_be_deleted_again(root: str) -> None:
    for name in ("a/b.txt", "a/c/d.txt", "ab.txt"):
        storage.write_bytes(f"{root}/{name}", b"")
    storage.delete_folder(f"{root}/a")
    assert storage.list_files(root) == [f"{root}/ab.txt"]
    storage.delete_folder(f"{root}/a")
    for _ in range(2):
        storage.delete(f"{root}/ab.txt")
    assert storage.list_files(root) == []


def test_missing_object_is_file_not_found(root: str) -> None:
    assert not storage.exists(f"{root}/none")
    with pytest.raises(FileNotFoundError, match="none"):
        storage.read_bytes(f"{root}/none")


def test_listing_is_sorted_goes_deep_and_leaves_hidden_files_out(root: str) -> None:
    for name in ("b.txt", "a/z.txt", "a/.hidden", ".git/config", "ab.txt"):
        storage.write_bytes(f"{root}/{name}", b"")
    storage.write_bytes(f"{root}-beside/c.txt", b"")
    expected = [f"{root}/{name}" for name in ("a/z.txt", "ab.txt", "b.txt")]
    assert storage.list_files(root) == storage.list_files(f"{root}/") == expected
    assert storage.list_files(f"{root}/none") == []


def test_folder_goes_up_and_comes_back(root: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "data").write_bytes(b"weights")
    storage.upload_folder(folder, f"{root}/model")
    with storage.local_folder(f"{root}/model") as copy:
        found = {str(p.relative_to(copy)): p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    assert found == {"saved_model.pb": b"graph", "variables/data": b"weights"}
    assert copy.exists() is not storage.is_remote(root)


def test_local_listing_of_a_relative_folder_finds_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage.write_bytes("data/a.txt", b"")
    assert storage.list_files("./data") == ["./data/a.txt"]


def test_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="a"):
        storage.write_bytes(str(tmp_path / "a"), b"data")
    assert storage.list_files(str(tmp_path)) == []
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_upload_onto_itself_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"data")
    storage.upload_folder(tmp_path, str(tmp_path))
    assert (tmp_path / "a").read_bytes() == b"data"


def test_placeholder_of_a_console_folder_is_no_file(bucket: str, tmp_path: Path) -> None:
    storage.write_bytes(f"{bucket}/console/sub/", b"")
    storage.write_bytes(f"{bucket}/console/sub/a.txt", b"a")
    assert storage.list_files(f"{bucket}/console") == [f"{bucket}/console/sub/a.txt"]
    storage.download_folder(f"{bucket}/console", tmp_path)
    assert (tmp_path / "sub" / "a.txt").read_bytes() == b"a"


@pytest.mark.parametrize("uri", ["https://user:pass@host/x", "s3://bucket/x", "file:///x"])
def test_an_address_of_another_kind_is_refused_before_anything_is_written(uri: str) -> None:
    with pytest.raises(ValueError, match=r"^(https|s3|file)://\.\.\. is no place of files"):
        storage.absolute(uri)


def test_name_inside_a_folder_is_joined() -> None:
    assert storage.safe_join("gs://b/images/", "x\\./a.jpg") == "gs://b/images/x/a.jpg"


@pytest.mark.parametrize(
    "name", ["../a", "x/../../a", "/etc/passwd", "..\\a", "C:\\a", "", "gs://b"]
)
def test_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="leads out of data"):
        storage.safe_join("data", name)


def test_a_moved_folder_is_whole_and_nothing_else_moves(root: str) -> None:
    for name in ("a/b.txt", "a/c/d.txt", "ab.txt"):
        storage.write_bytes(f"{root}/{name}", name.encode())
    storage.move_folder(f"{root}/a", f"{root}/z/a", first=("c",))
    names = ["ab.txt", "z/a/b.txt", "z/a/c/d.txt"]
    assert storage.list_files(root) == [f"{root}/{name}" for name in names]
    assert storage.read_bytes(f"{root}/z/a/c/d.txt") == b"a/c/d.txt"
    storage.move_folder(f"{root}/a", f"{root}/z/a")


def test_what_was_made_anew_joins_what_was_moved_before(root: str) -> None:
    for text in (b"old", b"new"):
        storage.write_bytes(f"{root}/a/c/d.txt", text)
        storage.write_bytes(f"{root}/a/{text.decode()}.txt", text)
        storage.move_folder(f"{root}/a", f"{root}/z")
    found = {uri.removeprefix(root): storage.read_bytes(uri) for uri in storage.list_files(root)}
    assert found == {"/z/c/d.txt": b"new", "/z/new.txt": b"new", "/z/old.txt": b"old"}
