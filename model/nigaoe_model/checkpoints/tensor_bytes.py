"""The numbers of a tensor record, and a file of many of them: written one tensor at a time, in safetensors' format."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nigaoe_core.errors import BrokenCheckpoint
from nigaoe_model.checkpoints.rebuilding import row_major
from nigaoe_model.checkpoints.records import DTYPE_BYTES, TensorRecord

_CODES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


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


def write_tensors(path: Path, tensors: Mapping[str, TensorRecord]) -> None:
    """Write a safetensors file with at most one tensor in memory.

    Raises:
        BrokenCheckpoint: The source is shorter than it says.
    """
    header, place = {}, 0
    for name, tensor in tensors.items():
        span = [place, place + tensor.byte_count]
        header[name] = {"dtype": _CODES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": span}
        place = span[1]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # The format aligns the data.
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(tensor_bytes(tensor))
