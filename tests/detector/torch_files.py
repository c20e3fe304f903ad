"""Legacy torch files, written without torch."""

import contextlib
import io
import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest


def torch_file(tensors: Mapping[str, np.ndarray]) -> bytes:
    """Write tensors as old torch did."""
    return write_torch_file(
        {name: Tensor(name, array.shape, _strides(array)) for name, array in tensors.items()},
        tensors,
    )


@dataclass
class Tensor:
    """What torch pickles of a tensor: a view of a storage, counted in numbers."""

    storage: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        key = _Key(self.storage)
        return _rebuild, (key, self.offset, self.shape, self.strides, False, OrderedDict())


def write_torch_file(described: Mapping[str, object], storages: Mapping[str, np.ndarray]) -> bytes:
    """Write three headers, the descriptions, the storages' names, and the storages."""
    stream = io.BytesIO()
    for header in (1, 2, 3):
        pickle.dump(header, stream, protocol=2)
    with _torch_by_name():
        _Pickler(stream, protocol=2).dump(OrderedDict(described))
    pickle.dump(list(storages), stream, protocol=2)
    for array in storages.values():
        stream.write(np.int64(array.size).tobytes() + array.astype("<f4").tobytes())
    return stream.getvalue()


def _strides(array: np.ndarray) -> tuple[int, ...]:
    return tuple(step // array.itemsize for step in array.strides)


def _rebuild(*args: object) -> None:
    """Stands in a pickle for torch._utils._rebuild_tensor_v2; nobody may call it."""
    raise AssertionError(args)


class _FloatStorage:
    """Stands in a pickle for torch.FloatStorage."""


@dataclass
class _Key:
    """What torch pickles by reference: a storage, written after the pickle."""

    name: str


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        if not isinstance(obj, _Key):
            return None
        return ("storage", _FloatStorage, obj.name, "cpu", 0, None)


@contextlib.contextmanager
def _torch_by_name() -> Iterator[None]:
    """Let pickle find the two stand-ins under torch's names."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    names = (torch, "FloatStorage", _FloatStorage), (utils, "_rebuild_tensor_v2", _rebuild)
    for module, name, stand_in in names:
        setattr(module, name, stand_in)
        stand_in.__module__ = module.__name__
        stand_in.__qualname__ = stand_in.__name__ = name
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "torch._utils", utils)
        yield
