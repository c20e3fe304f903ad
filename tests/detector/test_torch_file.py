import numpy as np
import pytest
from tests.detector.torch_files import Tensor, torch_file, write_torch_file

from boxloop.detector.torch_file import read_torch_tensors


def test_tensors_come_out_in_shape_and_order() -> None:
    data = torch_file({"a": np.arange(6, dtype="<f4").reshape(2, 3), "b": np.array([7], "<f4")})
    tensors = read_torch_tensors(data)
    assert list(tensors) == ["a", "b"]
    assert tensors["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors["b"].tolist() == [7]


def test_tensors_that_share_numbers_come_out() -> None:
    described = {"t": Tensor("s", (3, 2), (1, 3)), "tail": Tensor("s", (2,), (1,), offset=4)}
    tensors = read_torch_tensors(write_torch_file(described, {"s": np.arange(6.0)}))
    assert tensors["t"].tolist() == [[0, 3], [1, 4], [2, 5]]  # a transpose
    assert tensors["tail"].tolist() == [4, 5]


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("1 + 1",))


def test_a_file_that_asks_for_code_is_refused() -> None:
    data = write_torch_file({"a": _Evil()}, {})
    with pytest.raises(ValueError, match="eval has no place in a file of tensors"):
        read_torch_tensors(data)


def test_nothing_is_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading instructions is no unpickling: with `pickle` gone, it works as before."""
    data = torch_file({"a": np.arange(3.0)})
    for name in ("loads", "load", "Unpickler"):
        monkeypatch.delattr(f"pickle.{name}")
    assert read_torch_tensors(data)["a"].tolist() == [0, 1, 2]


def test_many_views_of_few_numbers_do_not_fill_the_memory() -> None:
    described = {f"t{number}": Tensor("s", (4,), (1,)) for number in range(20)}
    with pytest.raises(ValueError, match="80 numbers, far more than the file holds"):
        read_torch_tensors(write_torch_file(described, {"s": np.arange(4.0)}))


@pytest.mark.parametrize(
    ("pickled", "problem"),
    [
        pytest.param(b"cos\nsystem\n(S'true'\ntR.", "os.system has no place", id="a call"),
        pytest.param(b"(ios\nsystem\n.", "instruction INST has no place", id="an instance"),
        pytest.param(b"\x82\x01.", "instruction EXT1 has no place", id="an extension"),
        pytest.param(b"ccollections\nOrderedDict\n).", "EMPTY_TUPLE|is no legacy", id="a name"),
        pytest.param(b"N" * 5 + b"\x87\x87\x87.", "takes more than", id="an empty stack"),
    ],
)
def test_other_instructions_are_refused(pickled: bytes, problem: str) -> None:
    headers = b"K\x01.K\x02.K\x03."
    with pytest.raises(ValueError, match=problem):
        read_torch_tensors(headers + pickled + b"].")


@pytest.mark.parametrize(
    "tensor",
    [
        pytest.param(Tensor("s", (5,), (1,)), id="too long"),
        pytest.param(Tensor("s", (2,), (1,), offset=3), id="offset behind the end"),
        pytest.param(Tensor("s", (2,), (1,), offset=-1), id="offset before the start"),
        pytest.param(Tensor("s", (2,), (-1,)), id="steps back"),
        pytest.param(Tensor("s", (2,), (10**18,)), id="steps far"),
        pytest.param(Tensor("s", (10**9,), (0,)), id="one number many times"),
        pytest.param(Tensor("other", (1,), (1,)), id="no such storage"),
    ],
)
def test_a_tensor_that_reaches_beyond_its_numbers_is_refused(tensor: Tensor) -> None:
    data = write_torch_file({"a": tensor}, {"s": np.arange(4.0)})
    with pytest.raises(ValueError, match="is no legacy torch file of tensors"):
        read_torch_tensors(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "is no legacy torch file", id="empty"),
        pytest.param(b"PK\x03\x04", "torch's zip format", id="newer torch"),
        pytest.param(b"<html>404</html>", "is no legacy torch file", id="a web page"),
        pytest.param(torch_file({"a": np.zeros(9)})[:-1], "is no legacy", id="cut off"),
        pytest.param(
            write_torch_file({"a": 1}, {}),
            "is no legacy torch file",
            id="no tensor",
        ),
    ],
)
def test_other_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_torch_tensors(data)
