import pytest

from boxloop.data.matching import ImageIndex, stem

INDEX = ImageIndex(["a.jpg", "sub/b.JPG", "c.png", "one/same.jpg", "two/same.jpg", "v1.2.jpg"])


@pytest.mark.parametrize(
    ("claim", "image_ids", "kind"),
    [
        pytest.param("a.jpg", ("a.jpg",), None, id="its path"),
        pytest.param("images/a.jpg", ("a.jpg",), None, id="below images/"),
        pytest.param("b.JPG", ("sub/b.JPG",), None, id="its name alone"),
        pytest.param("/home/me/photos/a.jpg", ("a.jpg",), "foreign_path", id="absolute"),
        pytest.param("C:\\me\\sub\\b.JPG", ("sub/b.JPG",), "foreign_path", id="Windows"),
        pytest.param("../../a.jpg", ("a.jpg",), "foreign_path", id="leads out"),
        pytest.param("./two/same.jpg", ("two/same.jpg",), "foreign_path", id="from here"),
        pytest.param("/one/same.jpg", ("one/same.jpg",), "foreign_path", id="from the root"),
        pytest.param("x/two/same.jpg", ("two/same.jpg",), "foreign_path", id="end of the path"),
        pytest.param("a", ("a.jpg",), "no_suffix", id="no suffix"),
        pytest.param("A.JPEG", (), "case_differs", id="another name"),
        pytest.param("A.JPG", ("a.jpg",), "case_differs", id="case"),
        pytest.param("same.jpg", ("one/same.jpg", "two/same.jpg"), None, id="two of that name"),
        pytest.param("none.jpg", (), "case_differs", id="no such image"),
        pytest.param("", (), None, id="nothing"),
    ],
)
def test_a_claim_finds_its_image(claim: str, image_ids: tuple[str, ...], kind: str | None) -> None:
    match = INDEX.by_claim(claim)
    assert match.image_ids == image_ids
    assert not image_ids or match.kind == kind


@pytest.mark.parametrize(
    ("path", "image_ids"),
    [
        ("a.xml", ("a.jpg",)),
        ("sub/b.xml", ("sub/b.JPG",)),
        ("b.xml", ("sub/b.JPG",)),
        ("one/same.xml", ("one/same.jpg",)),
        ("same.xml", ("one/same.jpg", "two/same.jpg")),
        ("v1.2.xml", ("v1.2.jpg",)),
        ("d.xml", ()),
    ],
)
def test_a_file_finds_the_image_called_like_it(path: str, image_ids: tuple[str, ...]) -> None:
    assert INDEX.by_stem(path).image_ids == image_ids


def test_a_file_is_near_an_image_of_its_own_path() -> None:
    assert INDEX.by_stem("annotations/sub/b.xml").is_near
    assert INDEX.by_stem("labels/one/same.txt").image_ids == ("one/same.jpg",)
    assert not INDEX.by_stem("annotations/b.xml").is_near


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a.jpg", "a"), ("x.y/a", "x.y/a"), ("x/.hidden", "x/.hidden"), ("a.b.c", "a.b"), ("", "")],
)
def test_stem_is_the_path_without_its_last_suffix(path: str, expected: str) -> None:
    assert stem(path) == expected
