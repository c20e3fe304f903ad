"""Tensors out of a legacy torch file, without torch and without trusting the file.

Such a file is a pickle, and a pickle can ask for any function to be called. So nothing is unpickled
here: its instructions are read one by one, the few that describe tensors are followed, and any
other ends the reading. Arrays are made afterwards, within the bytes that are there.
"""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Tensors = dict[str, Array]

MOST_SHARED = 4
"""Numbers of all tensors, for each number in the file: tensors may share some."""


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
            _Reading().follow(stream)
        tensors = _Reading().follow(stream)
        storage_keys = _Reading().follow(stream)
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


_CALLED: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": dict,
    "torch._utils _rebuild_tensor_v2": _describe_tensor,
}
_STORAGES = {"torch FloatStorage": "<f4", "torch LongStorage": "<i8"}
_IGNORED = frozenset({"PROTO", "FRAME"})
_VALUES = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"})
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


class _Reading:
    """The stack of one pickle, and what it puts aside to use again."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def follow(self, stream: io.BytesIO) -> Any:
        """Return the value that a pickle describes; the stream is left behind its end."""
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name in _VALUES:
                self._stack.append(argument)
            elif opcode.name in _CONSTANTS:
                self._stack.append(_CONSTANTS[opcode.name])
            elif opcode.name in _EMPTY:
                self._stack.append(_EMPTY[opcode.name]())
            elif opcode.name in _TUPLES:
                self._stack.append(tuple(self._pop(_TUPLES[opcode.name])))
            elif opcode.name not in _IGNORED and opcode.name != "STOP":
                self._do(opcode.name, argument)
        return self._stack.pop()

    def _do(self, name: str, argument: Any) -> None:
        if name not in _ACTIONS:
            raise ValueError(f"the instruction {name} has no place in a file of tensors")
        _ACTIONS[name](self, argument)

    def _pop(self, count: int) -> list[Any]:
        start = len(self._stack) - count
        if start < 0:
            raise ValueError("a pickle takes more than it has put down")
        found = self._stack[start:]
        del self._stack[start:]
        return found

    def _pop_to_mark(self) -> list[Any]:
        found = []
        while (each := self._stack.pop()) is not _MARK:
            found.append(each)
        return found[::-1]

    def _put(self, argument: Any) -> None:
        self._memo[argument] = self._stack[-1]

    def _get(self, argument: Any) -> None:
        self._stack.append(self._memo[argument])

    def _name(self, argument: Any) -> None:
        if argument not in _CALLED and argument not in _STORAGES:
            raise ValueError(f"{argument.replace(' ', '.')} has no place in a file of tensors")
        self._stack.append(argument)

    def _call(self, _: Any) -> None:
        name, arguments = self._pop(2)
        self._stack.append(_CALLED[name](*arguments))

    def _refer(self, _: Any) -> None:
        _, dtype, key, *_ = self._stack.pop()
        self._stack.append(_Storage(_STORAGES[dtype], str(key)))

    def _set(self, items: list[Any]) -> None:
        self._stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _add(self, items: list[Any]) -> None:
        self._stack[-1].extend(items)

    def _mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def _tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._pop_to_mark()))


_ACTIONS: dict[str, Callable[[_Reading, Any], None]] = {
    "MARK": _Reading._mark,
    "TUPLE": _Reading._tuple,
    "GLOBAL": _Reading._name,
    "REDUCE": _Reading._call,
    "BINPERSID": _Reading._refer,
    "BUILD": lambda reading, _: reading._stack.__delitem__(-1),  # versions of torch's own
    "BINPUT": _Reading._put,
    "LONG_BINPUT": _Reading._put,
    "BINGET": _Reading._get,
    "LONG_BINGET": _Reading._get,
    "SETITEM": lambda reading, _: reading._set(reading._pop(2)),
    "SETITEMS": lambda reading, _: reading._set(reading._pop_to_mark()),
    "APPEND": lambda reading, _: reading._add(reading._pop(1)),
    "APPENDS": lambda reading, _: reading._add(reading._pop_to_mark()),
}


def _build_tensors(described: dict[str, _Tensor], keys: list[str], stream: io.BytesIO) -> Tensors:
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in described.values()}
    storages = {key: _read_storage(stream, np.dtype(dtypes[key])) for key in keys}
    wanted = sum(math.prod(tensor.shape) for tensor in described.values())
    if wanted > MOST_SHARED * sum(storage.size for storage in storages.values()):
        raise ValueError(f"its tensors have {wanted} numbers, far more than the file holds")
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
