"""Rebuilding of tensors, dictionaries and modules from recorded calls: the exact list of what is understood.

A name that is not in `HARMLESS` or `CARRIES_SOURCE` makes a file unsafe. Names are compared whole, never by prefix.
The stock loader of NVIDIA's files executes the Python source that lies in them as ``module_src``; here that entry is
dropped before anything reads it. ``torch.storage._load_from_bytes`` unpickles its argument anew (allowing it as it is
would allow everything); here the same machine reads the argument.
"""

import struct
from collections.abc import Callable
from typing import Any

from nigaoe_core.errors import BrokenCheckpoint, UnsafeCheckpoint
from nigaoe_model.checkpoints.records import (
    DTYPE_BYTES,
    Call,
    GlobalName,
    ModuleRecord,
    NetworkRecord,
    OpaqueRecord,
    PersistentId,
    StorageRecord,
    TensorRecord,
    make_tensor,
    row_major,
)

PERSISTENCE = GlobalName("torch_utils.persistence", "_reconstruct_persistent_obj")
NETWORK = GlobalName("dnnlib.tflib.network", "Network")
NESTED_STORAGE = GlobalName("torch.storage", "_load_from_bytes")

STORAGE_DTYPES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip

CARRIES_SOURCE = frozenset({PERSISTENCE, NETWORK})
"""Unpickling these executes Python source that lies in the file."""

_NUMPY_CORES = ("numpy.core.multiarray", "numpy._core.multiarray")

HARMLESS = frozenset(
    [GlobalName(module, name) for module in ("torch", "torch.cuda") for name in STORAGE_DTYPES]
    + [GlobalName(core, name) for core in _NUMPY_CORES for name in ("scalar", "_reconstruct")]
    + [GlobalName("pathlib", name) for name in ("PosixPath", "WindowsPath", "Path")]
    + [GlobalName("torch._utils", f"_rebuild_{what}") for what in ("tensor", "tensor_v2", "tensor_v3", "parameter")]
    + [
        NESTED_STORAGE,
        GlobalName("argparse", "Namespace"),
        GlobalName("collections", "OrderedDict"),
        GlobalName("dnnlib.util", "EasyDict"),
        GlobalName("dnnlib", "EasyDict"),
        GlobalName("numpy", "dtype"),
        GlobalName("numpy", "ndarray"),
        GlobalName("torch", "Size"),
        GlobalName("torch", "device"),
        GlobalName("_codecs", "encode"),
    ]
)
"""Names that only put numbers and containers together."""

_NUMPY_DTYPES = {
    "f8": "float64", "f4": "float32", "f2": "float16", "i8": "int64", "i4": "int32", "i2": "int16", "i1": "int8",
    "u1": "uint8", "b1": "bool",
}  # fmt: skip

MAX_DEPTH = 100


class Rebuilder:
    """Turns the machine's values into records, each once, however often it is referred to.

    Args:
        load_storage: What a persistent id of torch refers to.
        load_nested: What ``torch.storage._load_from_bytes`` would return for these bytes.
    """

    def __init__(
        self, load_storage: Callable[[Any], StorageRecord], load_nested: Callable[[memoryview], StorageRecord]
    ) -> None:
        self._load_storage = load_storage
        self._load_nested = load_nested
        self._done: dict[int, Any] = {}
        # Keeps every source alive: `_done` goes by identity.
        self._sources: list[Any] = []
        self._open: set[int] = set()

    def rebuild(self, value: Any) -> Any:
        """Interpret one value and all that it holds.

        Raises:
            BrokenCheckpoint: Calls have arguments that make no sense.
            UnsafeCheckpoint: It contains itself, or is nested without end.
        """
        try:
            return self._rebuild(value)
        except RecursionError as error:
            raise UnsafeCheckpoint("The checkpoint is nested without end: no honest checkpoint is.") from error
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
            raise BrokenCheckpoint(f"The checkpoint is damaged ({type(error).__name__}: {error}).") from error

    def _rebuild(self, value: Any) -> Any:
        if not isinstance(value, dict | list | tuple | Call | PersistentId):
            return value
        identity = id(value)
        if identity in self._done:
            return self._done[identity]
        if identity in self._open:
            raise UnsafeCheckpoint("Something in the checkpoint contains itself: no honest checkpoint does.")
        if len(self._open) > MAX_DEPTH:
            raise UnsafeCheckpoint(f"The checkpoint is nested more than {MAX_DEPTH} deep: no honest checkpoint is.")
        self._open.add(identity)
        result = self._compound(value)
        self._open.discard(identity)
        self._done[identity] = result
        self._sources.append(value)
        return result

    def _compound(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._rebuild(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._rebuild(item) for item in value]
        if isinstance(value, tuple):
            return tuple(self._rebuild(item) for item in value)
        if isinstance(value, PersistentId):
            return self._load_storage(self._rebuild(value.value))
        return self._call(value)

    def _call(self, call: Call) -> Any:
        if call.function == PERSISTENCE:
            return self._module(call)
        if call.function == NETWORK:
            return self._network(call)
        if call.function not in HARMLESS:
            return OpaqueRecord(call.function)
        arguments = self._rebuild(call.arguments)
        make = _MAKERS.get(call.function.name)
        if make is not None:
            return make(self, call, arguments)
        return OpaqueRecord(call.function)

    def _module(self, call: Call) -> ModuleRecord:
        (meta,) = call.arguments
        state = dict(_expect(_expect(meta, dict)["state"], dict))
        state.pop("_orig_module_src", None)
        return ModuleRecord(str(meta["class_name"]), self._rebuild(state))

    def _network(self, call: Call) -> NetworkRecord:
        state = dict(_expect(call.state, dict))
        state.pop("build_module_src", None)
        state = self._rebuild(state)
        # TensorFlow returned variables without axes, such as noise strengths, as numpy's scalars.
        variables = [(name, _scalar_tensor(v) if isinstance(v, float) else v) for name, v in state["variables"]]
        return NetworkRecord(state | {"variables": variables})

    def _mapping(self, call: Call, arguments: tuple[Any, ...]) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        if arguments:  # OrderedDict([[key, value], ...]), as Python 2 wrote it.
            result.update((key, value) for key, value in arguments[0])
        result.update((key, self._rebuild(value)) for key, value in call.items)
        return result

    def _namespace(self, call: Call, _: tuple[Any, ...]) -> dict[Any, Any]:
        return dict(_expect(self._rebuild(call.state or {}), dict))

    def _tensor(self, _: Call, arguments: tuple[Any, ...]) -> TensorRecord:
        storage, offset, shape, stride = arguments[:4]
        return make_tensor(_expect(storage, StorageRecord), offset, shape, stride)

    def _parameter(self, _: Call, arguments: tuple[Any, ...]) -> TensorRecord:
        tensor: TensorRecord = _expect(arguments[0], TensorRecord)
        return tensor

    def _nested(self, _: Call, arguments: tuple[Any, ...]) -> StorageRecord:
        (content,) = arguments
        return self._load_nested(memoryview(content))

    def _numpy_dtype(self, call: Call, arguments: tuple[Any, ...]) -> str:
        order = self._rebuild(call.state)[1] if call.state is not None else "|"
        if order == ">":
            raise BrokenCheckpoint("The checkpoint was written on a big-endian machine; write it again on another.")
        return _NUMPY_DTYPES[str(arguments[0]).lstrip("<|=")]

    def _numpy_scalar(self, _: Call, arguments: tuple[Any, ...]) -> float | None:
        dtype, content = arguments
        return _number(dtype, bytes(content))

    def _numpy_array(self, call: Call, _: tuple[Any, ...]) -> TensorRecord:
        _, shape, dtype, in_fortran_order, content = self._rebuild(call.state)
        view = memoryview(content)
        storage = StorageRecord(dtype, len(view) // DTYPE_BYTES[dtype], lambda: view)
        stride = row_major(shape[::-1])[::-1] if in_fortran_order else row_major(shape)
        return make_tensor(storage, 0, shape, stride)

    def _encoded(self, _: Call, arguments: tuple[Any, ...]) -> bytes:
        text, encoding = arguments  # Protocol 2 writes bytes as a latin-1 text.
        if encoding not in ("latin1", "latin-1"):
            raise ValueError(f"bytes in {encoding}")
        return str(text).encode("latin-1")


_MAKERS: dict[str, Callable[[Rebuilder, Call, tuple[Any, ...]], Any]] = {
    "OrderedDict": Rebuilder._mapping,  # noqa: SLF001 - a table of the class's own methods
    "EasyDict": Rebuilder._mapping,  # noqa: SLF001
    "Namespace": Rebuilder._namespace,  # noqa: SLF001
    "_rebuild_tensor": Rebuilder._tensor,  # noqa: SLF001
    "_rebuild_tensor_v2": Rebuilder._tensor,  # noqa: SLF001
    "_rebuild_parameter": Rebuilder._parameter,  # noqa: SLF001
    "_load_from_bytes": Rebuilder._nested,  # noqa: SLF001
    "dtype": Rebuilder._numpy_dtype,  # noqa: SLF001
    "scalar": Rebuilder._numpy_scalar,  # noqa: SLF001
    "_reconstruct": Rebuilder._numpy_array,  # noqa: SLF001
    "encode": Rebuilder._encoded,  # noqa: SLF001
}
"""By the name alone: `HARMLESS` has already compared the module."""


def _scalar_tensor(value: float) -> TensorRecord:
    content = struct.pack("<f", value)
    return TensorRecord(StorageRecord("float32", 1, lambda: content), 0, (), ())


def _number(dtype: str, content: bytes) -> float | None:
    """Return a float scalar; other kinds are not needed."""
    codes = {"float64": "<d", "float32": "<f", "float16": "<e"}
    return float(struct.unpack(codes[dtype], content)[0]) if dtype in codes else None


def _expect(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} where {kind.__name__} should be")
    return value
