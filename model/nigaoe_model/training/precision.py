"""Reduced precision for the main steps, full precision for the penalties.

Second derivatives lose too much in half precision, and they are taken only every few steps.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from nigaoe_model.device import preferred_layout
from nigaoe_model.precision import check_support, is_faster
from nigaoe_model.stylegan2.discriminator import Discriminator
from nigaoe_model.stylegan2.generator import Synthesis

PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


Reducible = Synthesis | Discriminator
"""A network whose finer blocks can compute in another type."""


@dataclass(frozen=True, slots=True)
class Precision:
    """The type of the main steps.

    Attributes:
        dtype: float32 means that nothing is reduced.
        from_resolution: Blocks of at least this many pixels are reduced.
    """

    dtype: torch.dtype
    from_resolution: int = 4

    def apply(self, *networks: Reducible) -> None:
        """Let the networks compute in this type."""
        if self.dtype != torch.float32:
            for network in networks:
                network.use_reduced_precision(self.dtype, from_resolution=self.from_resolution)


@contextmanager
def full_precision(network: Reducible) -> Iterator[None]:
    """Let a network compute in float32 for a while."""
    before = network.reduced_from
    network.reduced_from = None
    try:
        yield
    finally:
        network.reduced_from = before


def resolve_precision(name: PrecisionName, device: torch.device, from_resolution: int) -> Precision:
    """Return the precision that ``name`` means on this machine.

    Raises:
        InvalidSettings: The device has no instructions for it.
    """
    if name == "auto":
        name = "bf16" if is_faster(torch.bfloat16, device) else "fp32"
    check_support(DTYPES[name], device, setting="compute.precision", instead="fp32 or auto")
    return Precision(DTYPES[name], from_resolution)


def resolve_memory_format(
    channels_last: Literal["auto"] | bool,  # noqa: FBT001 - the value of a setting
    device: torch.device,
    precision: Precision,
) -> torch.memory_format:
    """Return the layout of activations and filters that the setting means on this machine."""
    if channels_last == "auto":
        if device.type == "cpu":
            return preferred_layout(device)
        channels_last = precision.dtype != torch.float32
    return torch.channels_last if channels_last else torch.contiguous_format
