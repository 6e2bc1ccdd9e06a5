"""Choice of device, threads and memory layout."""

import os

import torch

from nigaoe_core.cpu_runtime import keep_freed_memory
from nigaoe_core.errors import UsageError


def prepare_device(name: str, threads: int = 0) -> str:
    """Choose the device, set the CPU's threads, and let the process keep the memory that it frees.

    Args:
        name: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        threads: CPU threads of one operation; 0: one for each core this process may use.

    Returns:
        A device name of PyTorch.

    Raises:
        UsageError: The device does not exist here.
    """
    torch.set_num_threads(threads or usable_cores())
    keep_freed_memory()
    # Denormal numbers in vanishing gradients slow a CPU down a hundredfold and change nothing.
    torch.set_flush_denormal(True)
    if name == "auto":
        return best_device()
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"There is no device `{name}` here; `nigaoe doctor` shows what there is.") from error
    return name


def best_device() -> str:
    """Return ``cuda``, ``mps`` or ``cpu``: the fastest that is here."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def usable_cores() -> int:
    """Return how many cores the operating system lets this process use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def preferred_layout(device: torch.device) -> torch.memory_format:
    """Return the faster layout for activations on ``device``.

    Channels last spares oneDNN and cuDNN a reordering before and after every convolution (a third of a step, measured
    on AVX-512); oneDNN's AVX2 kernels were measured slower with it.
    """
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return torch.channels_last if device.type != "cpu" or wide else torch.contiguous_format
