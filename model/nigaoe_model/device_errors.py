"""Classification of errors by what they mean for the device: lost, short of memory, or neither.

Everything that computes (a step, an admission, a drawing, an enlargement, loading weights) asks here, so that the same
error means the same everywhere. PyTorch has classes for the two kinds, but libraries below it (cuBLAS, cuDNN, the CPU's
allocator) still come as plain `RuntimeError`s that only their text tells apart, and what was raised while another error
was being handled has that one behind it.
"""

from collections.abc import Iterator
from enum import Enum
from typing import Final

import torch


class DeviceTrouble(Enum):
    """Kind of trouble with the device itself."""

    LOST = "lost"
    """Its context is dead: every further call of this process fails, from any thread; only a fresh process helps."""

    MEMORY = "memory"
    """It is short of memory; the same may work with a smaller batch, or when another search has ended."""


_MEMORY_WORDS: Final = (
    "out of memory",  # CUDA's and MPS's own words, and those of libraries that allocate by themselves.
    "can't allocate memory",  # The CPU's allocator has no class of its own.
    "STATUS_ALLOC_FAILED",  # cuBLAS and cuDNN.
    "STATUS_NOT_INITIALIZED",  # There was no memory for their handles.
)
_CAPTURE_WORDS: Final = ("capturing", "capture")
"""CUDA refuses work that cannot be recorded as a graph without harm to the device."""
_LOST_WORDS: Final = (
    "CUDA error",
    "HIP error",
    "device-side assert",
    "STATUS_EXECUTION_FAILED",
    "STATUS_INTERNAL_ERROR",
    "STATUS_MAPPING_ERROR",
)


def device_trouble(error: BaseException) -> DeviceTrouble | None:
    """Classify an error; None: it says nothing about the device, but is about the data or a fault of ours.

    Args:
        error: Together with whatever it was raised from.
    """
    found = {_trouble(each) for each in _chain(error)}
    # A lost device explains all that followed, and a lack of memory whatever was made of it.
    return next((trouble for trouble in DeviceTrouble if trouble in found), None)


def _trouble(error: BaseException) -> DeviceTrouble | None:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return DeviceTrouble.MEMORY
    if not isinstance(error, RuntimeError):
        return None
    words = str(error)
    if any(word in words for word in _MEMORY_WORDS):
        return DeviceTrouble.MEMORY
    if any(word in words for word in _CAPTURE_WORDS):
        return None
    if isinstance(error, torch.AcceleratorError) or any(word in words for word in _LOST_WORDS):
        return DeviceTrouble.LOST
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    behind: BaseException | None = error
    while behind is not None and id(behind) not in seen:
        seen.add(id(behind))
        yield behind
        behind = behind.__cause__ or (None if behind.__suppress_context__ else behind.__context__)
