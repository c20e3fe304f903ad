"""Tensors out of a legacy torch file, without torch and without trusting the file.

Such a file is a pickle, and a pickle can ask for any function to be called. Here it gets as far as
descriptions of tensors; arrays are made from them afterwards, within the bytes that are there.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Tensors = dict[str, Array]


def read_torch_tensors(data: bytes) -> Tensors:
    """Return the tensors of a legacy torch file by name, in its order.

    Raises:
        ValueError: if it is no such file, or asks for anything but tensors by name.
    """
    if data.startswith(b"PK"):
        raise ValueError("is in torch's zip format, which is not read: save it as a legacy file")
    stream = io.BytesIO(data)
    try:
        for _ in range(3):  # magic number, protocol version, byte order
            _TensorUnpickler(stream).load()
        tensors = _TensorUnpickler(stream).load()
        storage_keys = _TensorUnpickler(stream).load()
        return _build_tensors(tensors, storage_keys, stream)
    except Exception as error:  # a broken pickle raises nearly anything
        raise ValueError(f"is no legacy torch file of tensors: {error}") from error


class _Storage(NamedTuple):
    """A row of numbers, which the file has behind its pickles."""

    dtype: str
    key: str


class _Tensor(NamedTuple):
    """A view of a storage; offset and strides count numbers, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _describe_tensor(storage: Any, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


_ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _describe_tensor,
    ("torch", "FloatStorage"): "<f4",
    ("torch", "LongStorage"): "<i8",
}


class _TensorUnpickler(pickle.Unpickler):
    """Unpickles numbers, texts, containers and descriptions of tensors; refuses anything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of tensors")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, *_ = pid
        return _Storage(dtype, key)


def _build_tensors(described: dict[str, _Tensor], keys: list[str], stream: io.BytesIO) -> Tensors:
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in described.values()}
    storages = {key: _read_storage(stream, np.dtype(dtypes[key])) for key in keys}
    return {str(name): _build_array(tensor, storages) for name, tensor in described.items()}


def _read_storage(stream: io.BytesIO, dtype: np.dtype[Any]) -> Array:
    count = int.from_bytes(stream.read(8), "little")
    return np.frombuffer(stream.read(count * dtype.itemsize), dtype, count)


def _build_array(tensor: _Tensor, storages: dict[str, Array]) -> Array:
    """Return a tensor as an array of its own: numpy checks that it lies within its storage."""
    storage = storages[tensor.storage.key]
    strides = [step * storage.itemsize for step in tensor.strides]
    offset = tensor.offset * storage.itemsize
    array = np.ndarray(tensor.shape, storage.dtype, storage, offset, strides)
    if array.size > storage.size:  # a few bytes could fill the memory
        raise ValueError(f"a tensor of shape {array.shape} has only {storage.size} numbers")
    return array.copy()
