"""What a pickle becomes when nothing in it is executed: names, calls that were never made, and views of bytes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

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
