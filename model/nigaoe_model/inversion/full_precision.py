"""float32 as it is written, also on NVIDIA GPUs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Let cuDNN neither round what it multiplies to TF32 (10 bits) nor add in an order of its own.

    By default it does both in convolutions, by kernels that it chooses for each size of batch. Adam follows signs, so
    that after six steps searches that differ by such roundings were 2 % apart.

    Args:
        device: Where is computed; anywhere else than on CUDA nothing needs to be said.
    """
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    with cudnn.flags(enabled=True, benchmark=cudnn.benchmark, deterministic=True, allow_tf32=False):
        yield
