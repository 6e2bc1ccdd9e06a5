"""Precision of convolutions: 16-bit types where a device has them, and float32 without rounding to TF32.

Which 16-bit types there are is asked of the device, not of its name.

A processor with AVX2 alone has no instructions for bf16 or fp16. PyTorch then either raises in the middle of a step
("bf16 path needs the cpu support avx_ne_convert or avx512bw ...") or falls back to loops that take many times as long
as float32. So a 16-bit type is refused there where it is asked for, and ``auto`` never means it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal

import torch

from nigaoe_core.errors import InvalidSettings

NAMES = {torch.float32: "float32", torch.bfloat16: "bf16", torch.float16: "fp16"}


def supports(dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether ``device`` computes convolutions in ``dtype`` by instructions of its own.

    oneDNN answers for a processor, so its ``ONEDNN_MAX_CPU_ISA`` counts. A GPU of NVIDIA that emulates a type counts as
    able, see :func:`is_faster` for what ``auto`` should choose.
    """
    return dtype not in (torch.bfloat16, torch.float16) or _convolves(dtype, device.type)


def check_support(dtype: torch.dtype, device: torch.device, *, setting: str, instead: str) -> None:
    """Refuse a type that ``device`` cannot compute in.

    Args:
        dtype: What was asked for.
        device: Where it shall be computed.
        setting: By what name it was asked for.
        instead: Values of the setting that work here.

    Raises:
        InvalidSettings: The device has no instructions for it.
    """
    if not supports(dtype, device):
        raise InvalidSettings(
            f"{_named(device)} has no instructions for convolutions in {NAMES[dtype]}: set {setting} to {instead}."
        )


def is_faster(dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether a 16-bit type is multiplied natively, not widened or emulated: what ``auto`` should choose."""
    if not supports(dtype, device):
        return False
    if device.type == "cuda":
        return dtype == torch.float16 or bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    name = "bf16" if dtype == torch.bfloat16 else "fp16"
    return bool(able.get(f"amx_{name}", False) or able.get(f"avx512_{name}", False))


def serving_dtype(precision: Literal["auto", "float32", "bfloat16", "float16"], device: torch.device) -> torch.dtype:
    """Return the type that ``NIGAOE_PRECISION`` means on ``device``.

    Raises:
        InvalidSettings: The device has no instructions for it.
    """
    if precision == "auto":
        faster = device.type == "cuda" and is_faster(torch.bfloat16, device)
        return torch.bfloat16 if faster else torch.float32
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    check_support(dtype, device, setting="NIGAOE_PRECISION", instead="float32 or auto")
    return dtype


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Keep cuDNN from rounding factors to TF32 (10 bits) and from adding in an order of its own.

    By default it does both in convolutions, by kernels that it chooses for each size of batch. Adam follows signs, so
    that after six steps searches that differ by such roundings were 2 % apart.

    Args:
        device: Where is computed; nothing needs to be set anywhere but on CUDA.
    """
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    with cudnn.flags(enabled=True, benchmark=cudnn.benchmark, deterministic=True, allow_tf32=False):
        yield


@cache
def _convolves(dtype: torch.dtype, device: str) -> bool:
    """Try the operation itself, on a CPU the one that calls oneDNN alone. CUDA answers without being tried."""
    if device == "cuda":
        return dtype == torch.float16 or bool(torch.cuda.is_bf16_supported())
    x, weight = (torch.zeros(shape, dtype=dtype, device=device) for shape in ((1, 8, 4, 4), (8, 8, 3, 3)))
    onednn = device == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch annotates it not
    try:
        if onednn:
            torch.mkldnn_convolution(x, weight, None, (1, 1), (1, 1), (1, 1), 1)
        else:
            torch.nn.functional.conv2d(x, weight, padding=1)
    except RuntimeError:
        return False
    return True


def _named(device: torch.device) -> str:
    if device.type != "cpu":
        return f"The device `{device}`"
    return f"This processor ({torch.backends.cpu.get_cpu_capability()})"
