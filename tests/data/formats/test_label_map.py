import pytest

from boxloop.data.formats.label_map import build_label_map, parse_label_map


def test_ids_start_at_1_in_the_order_given() -> None:
    text = build_label_map(["nine", "ace"])
    assert text == "item {\n  id: 1\n  name: 'nine'\n}\nitem {\n  id: 2\n  name: 'ace'\n}\n"
    assert parse_label_map(text) == {1: "nine", 2: "ace"}


@pytest.mark.parametrize(
    "name", ["it's", 'say "x"', "back\\slash", "brace } { in", "# no comment", "größe", "a\nb"]
)
def test_any_name_comes_back(name: str) -> None:
    assert parse_label_map(build_label_map(["first", name])) == {1: "first", 2: name}


def test_other_tools_files_are_read() -> None:
    text = """# made elsewhere
    item: { name: "gr\\303\\266\\303\\237e"  # octal UTF-8
            id: 7 display_name: 'Size' }
    item{id:2,name:'b'}"""
    assert parse_label_map(text) == {7: "größe", 2: "b"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "item { id: 0 name: 'x' }", "item 1: needs an id of at least 1, got 0", id="0"
        ),
        pytest.param(
            "item { name: 'x' }", "item 1: needs an id of at least 1, got none", id="no id"
        ),
        pytest.param("item { id: 1 }", "item 1: needs a quoted name, got none", id="no name"),
        pytest.param("item { id: 1 name: x }", "needs a quoted name, got x", id="bare name"),
        pytest.param("item { id: 1 name: '' }", "needs a quoted name, got ''", id="empty name"),
        pytest.param(
            "item { id: 1 name: 'x' } item { id: 1 name: 'y' }", "id 1 is 'x' and 'y'", id="twice"
        ),
        pytest.param("item { id: 1 name: 'x'", "found \"item { id: 1 name: 'x'\"", id="open brace"),
        pytest.param("nine\nace\n", r"found 'nine\\nace'", id="list of names"),
    ],
)
def test_wrong_label_map_is_explained(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_label_map(text)


def test_name_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="a class name comes twice"):
        build_label_map(["ace", "ace"])
