import pytest

from boxloop.json_text import json_object


@pytest.mark.parametrize("text", ["", "7", "s3://bucket/value.json", "[1]", "null", b"\xff", "{"])
def test_what_is_no_object_is_none(text: str | bytes) -> None:
    assert json_object(text) is None


@pytest.mark.parametrize("text", ['{"step": 1}', b'{"step": 1}'])
def test_an_object_is_returned(text: str | bytes) -> None:
    assert json_object(text) == {"step": 1}
