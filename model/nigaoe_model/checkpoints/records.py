"""Records of what a pickle holds when nothing is executed: names, calls that were never made, tensors not yet read."""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from nigaoe_core.errors import BrokenCheckpoint, UnsafeCheckpoint

MAX_AXES = 8
MAX_VISITS = 200_000
MAX_DEPTH = 40
MAX_NAME = 300

KeyPath = tuple[str, ...]
"""Names that lead to a tensor, from the file's root."""

DTYPE_BYTES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1,
    "uint8": 1, "bool": 1,
}  # fmt: skip
"""Bytes of one element of every type that is read."""


@dataclass(frozen=True, slots=True)
class GlobalName:
    """A name that unpickling would import. Here it stays two strings."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Call:
    """A call that unpickling would make. Here it is only written down.

    Attributes:
        function: What would be called.
        arguments: With what.
        state: What would be given to ``__setstate__``, or put into ``__dict__``.
        items: What would be stored by index, in a dict subclass or an ``OrderedDict``.
        elements: What would be appended or added.
    """

    function: GlobalName
    arguments: tuple[Any, ...]
    state: Any = None
    items: list[tuple[Any, Any]] = field(default_factory=list)
    elements: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class PersistentId:
    """A reference to something that lies outside of the pickle: a storage of torch."""

    value: Any


@dataclass(frozen=True, slots=True, eq=False)
class StorageRecord:
    """A flat run of numbers in the file.

    Attributes:
        dtype: A key of `DTYPE_BYTES`.
        count: Number of elements.
        read: Returns its bytes; called only for tensors that are wanted.
    """

    dtype: str
    count: int
    read: Callable[[], bytes | memoryview]


@dataclass(frozen=True, slots=True, eq=False)
class TensorRecord:
    """A tensor that has not been read.

    Attributes:
        storage: Where its numbers lie.
        offset: First element.
        shape: Sizes.
        stride: Elements from one index to the next, an axis each.
    """

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """Type of its elements."""
        return self.storage.dtype

    @property
    def count(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def byte_count(self) -> int:
        """Bytes of its elements."""
        return self.count * DTYPE_BYTES[self.dtype]


@dataclass(frozen=True, slots=True, eq=False)
class ModuleRecord:
    """A network module as NVIDIA's ``torch_utils.persistence`` stores it, without the source that lies beside it.

    Attributes:
        class_name: Name of its class, such as ``Generator``.
        state: Its ``__dict__``, interpreted.
    """

    class_name: str
    state: dict[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkRecord:
    """A ``dnnlib.tflib.network.Network`` of the TensorFlow era, without the source that lies inside it.

    Attributes:
        state: What its ``__setstate__`` would get, interpreted.
    """

    state: dict[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class OpaqueRecord:
    """Something that is on no list: it is neither read nor made."""

    function: GlobalName


def tensors_in(value: Any) -> dict[KeyPath, TensorRecord]:
    """Return every tensor under the names that lead to it.

    Args:
        value: Dictionaries, lists, modules, networks, tensors.

    Raises:
        UnsafeCheckpoint: There are more paths than any honest checkpoint has.
    """
    return dict(_walk(value))


def _walk(root: Any) -> Iterator[tuple[KeyPath, TensorRecord]]:
    pending: list[tuple[KeyPath, Any]] = [((), root)]
    visits = 0
    while pending:
        path, value = pending.pop()
        if isinstance(value, TensorRecord):
            yield path, value
            continue
        children = list(_children(value))
        visits += len(children) + 1
        if visits > MAX_VISITS or len(path) > MAX_DEPTH:
            raise UnsafeCheckpoint("The checkpoint refers to the same things again and again: no honest one does.")
        pending += [((*path, str(key)[:MAX_NAME]), item) for key, item in reversed(children)]


def _children(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, tuple | list):
        return enumerate(value)
    if isinstance(value, ModuleRecord):
        return _pairs(value.state, "_parameters", "_buffers", "_modules")
    if isinstance(value, NetworkRecord):
        listed = value.state.get("variables")
        variables = [tuple(v) for v in listed if isinstance(v, tuple | list) and len(v) == 2] if listed else []
        return [*variables, *_pairs(value.state, "components")]
    return ()


def _pairs(state: dict[Any, Any], *parts: str) -> list[tuple[Any, Any]]:
    return [pair for part in parts if isinstance(state.get(part), dict) for pair in state[part].items()]


def make_tensor(storage: StorageRecord, offset: Any, shape: Any, stride: Any) -> TensorRecord:
    """Check that a tensor lies inside its storage.

    Raises:
        BrokenCheckpoint: It does not, or its sizes make no sense.
    """
    numbers = (offset, *shape, *stride)
    if len(shape) != len(stride) or len(shape) > MAX_AXES or not all(type(n) is int and n >= 0 for n in numbers):
        raise BrokenCheckpoint("The checkpoint is damaged: a tensor has impossible sizes.")
    tensor = TensorRecord(storage, offset, tuple(shape), tuple(stride))
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if tensor.count and last >= storage.count:
        raise BrokenCheckpoint("The checkpoint is damaged: a tensor reaches beyond its storage.")
    if tensor.count > storage.count:
        raise UnsafeCheckpoint("A tensor claims more numbers than the file holds: unpacking it would fill the memory.")
    return tensor


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of a contiguous tensor, last axis fastest."""
    steps, step = [], 1
    for size in reversed(shape):
        steps.append(step)
        step *= size
    return tuple(reversed(steps))


def tensor_bytes(tensor: TensorRecord) -> bytes | memoryview:
    """Return the numbers in row-major order, little-endian.

    Raises:
        BrokenCheckpoint: The file is shorter than it says.
    """
    size = DTYPE_BYTES[tensor.dtype]
    content = memoryview(tensor.storage.read())
    if len(content) < tensor.storage.count * size:
        raise BrokenCheckpoint("The checkpoint is truncated: a tensor's numbers are missing.")
    if tensor.stride == row_major(tensor.shape):
        return content[tensor.offset * size : (tensor.offset + tensor.count) * size]
    numbers = np.frombuffer(content, dtype=f"V{size}", count=tensor.storage.count)[tensor.offset :]
    steps = [step * size for step in tensor.stride]
    return np.lib.stride_tricks.as_strided(numbers, tensor.shape, steps, writeable=False).tobytes()


def small_floats(tensor: TensorRecord, limit: int = 64) -> list[float]:
    """Return the numbers of a small float32 tensor, such as a filter kernel.

    Raises:
        BrokenCheckpoint: It is larger than ``limit`` or of another type.
    """
    if tensor.dtype not in ("float32", "float16") or tensor.count > limit:
        raise BrokenCheckpoint("A filter kernel of the checkpoint is no small float tensor.")
    code = "f" if tensor.dtype == "float32" else "e"
    return list(struct.unpack(f"<{tensor.count}{code}", tensor_bytes(tensor)))
